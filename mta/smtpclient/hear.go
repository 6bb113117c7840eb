package smtpclient

import (
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// listen hears answers for as long as something is under way.
func (c *Client) listen() {
	for c.hear() {
		continue
	}
}

// hear takes one answer, and reports whether more are to come.
func (c *Client) hear() bool {
	c.expect()
	reply, err := c.replies.reply()
	c.traceReply(reply, err)
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.queue[0]
	s := x.step(x.heard)
	if objected, failure := c.objection(x, s, reply, err); failure != nil {
		c.abandon(objected)
	} else {
		f.heard++
		c.heed(x, s, reply)
	}
	if len(f.queue) > 0 {
		return true
	}
	f.unwatch()
	f.unwatch, f.heard = nil, 0
	return false
}

// expect gives the next answer its deadline. While the step that it answers is
// still being written, the deadline of the writing is enough.
func (c *Client) expect() {
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	switch head := f.queue[0]; {
	case f.broken != nil:
		c.wire.readUntil(f.until)
	case head.unsaid > 0:
		f.timed = false
		c.wire.readUntil(time.Time{})
	default:
		c.await(head)
	}
}

// await sets the deadline for the whole of the next answer. The caller holds
// f.mu.
func (c *Client) await(head *transaction) {
	c.flight.timed = true
	c.wire.readWithin(c.options.Timeouts.of(head.step(head.heard).command))
}

// objection says why nothing more can be heard over this connection; nil where
// it can. objected says that the server minds not the mail but the way in which
// it came. The caller holds f.mu.
func (c *Client) objection(x *transaction, s step, reply mail.Reply, err error) (objected bool, failure *Error) {
	f := &c.flight
	switch {
	case err != nil:
		if f.broken != nil {
			err = f.broken
		}
		f.single = f.single || c.wire.interrupted() == nil && f.suspicious(x)
		return false, c.fail(s.command, mail.Reply{}, err)
	case reply.Code == 421:
		x.take(s, reply)
		return false, c.fail(s.command, reply, nil)
	case x.outOfOrder(s, reply):
		f.single = true
		return true, c.fail(s.command, reply, ErrInFlight)
	case unexpected(s.command, reply):
		f.single = true
		return false, c.fail(s.command, reply, unexpectedCode(reply))
	case s.command == Final && reply.Positive():
		return false, c.disbelief(x, reply)
	}
	return false, nil
}

// disbelief says why a message cannot have been taken although the server
// seems to say so. The caller holds f.mu.
func (c *Client) disbelief(x *transaction, reply mail.Reply) *Error {
	f := &c.flight
	for x.unsaid > 0 && f.broken == nil {
		f.spoken.Wait() // an early answer is none yet; often it is the writer's note that is late
	}
	switch {
	case f.broken != nil && x.unsaid > 0:
		return c.fail(Final, mail.Reply{}, f.broken)
	case x.chunked && x.accepted == 0, x.chunked && f.accent.slips(reply):
		f.single = true
		return c.fail(Final, mail.Reply{}, fmt.Errorf("%w: out of step", ErrReply))
	}
	return nil
}

// suspicious reports that a break may be due to what was in flight: that of a
// connection on which such went well, and on which nothing was heard since it
// was idle, is not. The caller holds f.mu.
func (f *flight) suspicious(x *transaction) bool {
	if !f.proven {
		return x.chunked || len(f.queue) > 1 || x.heard > 0 && x.heard < x.steps()
	}
	return len(f.queue) > 1 && f.heard > 0
}

// outOfOrder reports that a reply is about the order or the kind of the
// commands (RFC 5321 section 4.2.4), where they were such as a simpler client
// would not send.
func (x *transaction) outOfOrder(s step, reply mail.Reply) bool {
	enhanced := reply.Enhanced
	protocol := enhanced.IsZero() || enhanced.Subject == 5
	switch s.command {
	case RSET:
		return !reply.Positive()
	case MAIL, RCPT, DATA:
		due := s.command == MAIL || !x.refused && (s.command == RCPT || x.accepted > 0)
		ahead := x.behind || x.chunked
		return due && ahead && (reply.Code == 500 || protocol && reply.Code == 503)
	}
	return protocol && x.chunked && x.accepted > 0 && reply.Code >= 500 && reply.Code <= 504
}

// heed takes an answer and does what follows from it. The caller holds f.mu.
func (c *Client) heed(x *transaction, s step, reply mail.Reply) {
	f := &c.flight
	if !x.behind && len(f.queue) == 1 {
		f.accent.learn(s.command, reply)
	}
	x.take(s, reply)
	x.heard++
	switch s.command {
	case MAIL:
		c.transacted = true
	case DATA:
		c.dirty = x.begun && !x.invited
		c.goOn(x)
	case Final:
		// How a refused chunk leaves the transaction is not defined (RFC 3030
		// section 2).
		c.dirty = x.chunked && !reply.Positive()
		c.praise(x, reply)
	}
	if x.over() {
		c.finish(x)
	}
}

// goOn says what follows an answer to DATA: the message if it is invited, and
// the envelope behind it.
func (c *Client) goOn(x *transaction) {
	f := &c.flight
	next := f.next
	f.next = nil
	if next != nil && c.dirty {
		next.first = RSET
	}
	if !x.invited {
		x = nil
	} else {
		x.unsaid++
		x.written = time.Now()
	}
	if x != nil || next != nil {
		f.listeners.Go(func() { c.say(x, next) })
	}
}

// praise lets the window grow with a message that was taken.
func (c *Client) praise(x *transaction, reply mail.Reply) {
	f := &c.flight
	if !reply.Positive() || x.accepted == 0 {
		return
	}
	f.proven = f.proven || x.chunked || x.behind
	most := mostRiding
	if x.chunked {
		most = maxWindow
	}
	f.window.succeed(time.Since(x.written), x.crowded, most)
}
