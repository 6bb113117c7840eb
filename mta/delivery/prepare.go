package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// prepared is what a transaction carries.
type prepared struct {
	// pieces of the message in their order: signature, header and content.
	pieces [][]byte
	// eightBit: the message has octets above 127.
	eightBit bool
	// returnPath replaces that of the envelope; zero for none.
	returnPath mail.Address
}

// stage names a step of the preparation, for metrics and reasons.
type stage string

const (
	stageGate   stage = "gate"
	stageBody   stage = "body"
	stageRender stage = "render"
	stageSign   stage = "sign"
)

// prepare takes a batch through gate, rendering, conversion and signature. It
// settles the recipients that go no further, and reports whether any is left.
func (e *Engine) prepare(b *batch, extensions smtpclient.Extensions) bool {
	ctx := e.life.hard()
	b.revision = e.options.Gate.Revision()
	e.admit(ctx, b)
	if len(b.deliveries) == 0 {
		return false
	}
	b.prepared = nil
	rendered, failed, err := e.render(ctx, b.deliveries[0])
	if err != nil {
		e.notPrepared(ctx, b, failed, err)
		return false
	}
	if rendered.Personal && len(b.deliveries) > 1 {
		b.lane.site.putBack(b.lane, b.deliveries[1:])
		b.deliveries = b.deliveries[:1]
	}
	message := rendered.Message
	eightBit := !ascii(message)
	if eightBit && !extensions.EightBitMIME {
		if message, err = e.encode(message); err != nil {
			e.notEncodable(b, err)
			return false
		}
		eightBit = false
	}
	m := b.deliveries[0].Message
	signature, err := e.options.Signer.Sign(ctx, m.Tenant, m.HeaderFrom, message)
	if err != nil {
		e.notPrepared(ctx, b, stageSign, err)
		return false
	}
	b.prepared = &prepared{pieces: [][]byte{signature, message}, eightBit: eightBit, returnPath: rendered.ReturnPath}
	return true
}

// admit keeps the recipients that may still be mailed.
func (e *Engine) admit(ctx context.Context, b *batch) {
	kept := b.deliveries[:0]
	now := time.Now()
	for _, d := range b.deliveries {
		if !d.Message.Expires.After(now) {
			e.expire(d, b.lane.via(), failure{})
			continue
		}
		if t, paused := e.options.Shaper.Blocked(now, b.lane.target(), d.Message.Tenant, d.Message.Campaign); paused {
			e.setAside(d, b.lane.via(), t)
			continue
		}
		verdict, err := e.options.Gate.Admit(ctx, d)
		switch {
		case err != nil:
			e.notPrepared(ctx, &batch{lane: b.lane, deliveries: []*queue.Delivery{d}}, stageGate, err)
		case verdict.Drop:
			e.drop(d, b.lane.via(), verdict.Reason)
		default:
			kept = append(kept, d)
		}
	}
	b.deliveries = kept
}

func (e *Engine) render(ctx context.Context, d *queue.Delivery) (Rendered, stage, error) {
	body, err := e.bodies.get(ctx, d.Message)
	if err != nil {
		return Rendered{}, stageBody, err
	}
	rendered, err := e.options.Renderer.Render(ctx, d, body)
	return rendered, stageRender, err
}

func (e *Engine) encode(message []byte) ([]byte, error) {
	if e.options.Encode7Bit == nil {
		return nil, fmt.Errorf("the server does not offer 8BITMIME")
	}
	return e.options.Encode7Bit(message)
}

// notPrepared has the recipients wait: the fault is ours, so that they are not
// to suffer for it.
func (e *Engine) notPrepared(ctx context.Context, b *batch, at stage, err error) {
	if ctx.Err() != nil {
		e.giveBack(b.deliveries)
		return
	}
	e.metrics.unprepared.WithLabelValues(string(at)).Inc()
	e.options.Logger.Error("message could not be prepared", "stage", string(at),
		"message", b.deliveries[0].Message.ID.String(), "recipients", len(b.deliveries), "error", err)
	reason := string(at) + " failed"
	if errors.Is(err, queue.ErrDamaged) {
		// It may be put back from a copy, and is looked for until it expires.
		reason = queue.ErrDamaged.Error()
	}
	for _, d := range b.deliveries {
		e.postpone(d, b.lane.via(), failure{reason: reason})
	}
}

// notEncodable bounces what the server can never take (RFC 6152 section 3).
func (e *Engine) notEncodable(b *batch, err error) {
	reply := mail.Reply{
		Code: 554, Enhanced: mail.EnhancedCode{Class: 5, Subject: 6, Detail: 3},
		Text: "conversion to 7-bit required but not possible",
	}
	for _, d := range b.deliveries {
		e.bounce(d, b.lane.via(), failure{reply: reply, reason: err.Error()})
	}
}

// word puts what is prepared into the client's words.
func (b *batch) word() {
	b.transaction = smtpclient.Transaction{
		Envelope:   b.deliveries[0].Message.Envelope,
		Recipients: make([]mail.Recipient, len(b.deliveries)),
		Message:    b.prepared.pieces,
	}
	b.transaction.Envelope.EightBit = b.prepared.eightBit
	own := !b.prepared.returnPath.IsZero()
	if own {
		b.transaction.Envelope.From = b.prepared.returnPath
	}
	for i, d := range b.deliveries {
		b.transaction.Recipients[i] = d.Recipient
		if own && d.Recipient.Notify != 0 {
			// Reports come to us, who want to hear of failures alone.
			b.transaction.Recipients[i].Notify = mail.NotifyFailure
		}
	}
}

// confirms reports whether the server on the session tells the sender of
// success itself, as it was asked to (RFC 3461 section 5.2.1); to a return path
// of ours it was not.
func (b *batch) confirms(s Session) bool {
	return s != nil && s.Extensions().DSN && b.prepared != nil && b.prepared.returnPath.IsZero()
}

// ascii reports that no octet is above 127, eight at a time.
func ascii(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
