package boltqueue

import (
	"encoding/binary"
	"encoding/json"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// encodingVersion stands first in every encoded message; encodingWithUTM in
// those whose links get parameters.
const (
	encodingVersion = 2
	encodingWithUTM = 3
)

const (
	envelopeEightBit = 1 << iota
	envelopeSMTPUTF8
	envelopeRequireTLS
	envelopeWaiveTLS
)

// measureShift is where in the octet of a message's Track stands what Measure
// does not allow: nothing, in messages of before there was one.
const measureShift = 4

// appendMessage encodes a message, as the journal and the messages bucket hold
// it.
func appendMessage(b []byte, m *queue.Message) []byte {
	version := byte(encodingVersion)
	if m.UTM != "" {
		version = encodingWithUTM
	}
	b = append(b, version)
	b = append(b, m.ID[:]...)
	b = appendEnvelope(b, &m.Envelope)
	b = appendString(b, m.Tenant)
	b = appendString(b, m.Stream)
	b = appendString(b, m.Campaign)
	b = binary.AppendUvarint(b, uint64(len(m.Tags)))
	for _, tag := range m.Tags {
		b = appendString(b, tag)
	}
	b = appendBytes(b, m.Metadata)
	b = appendString(b, string(m.HeaderFrom))
	b = appendString(b, m.Pool)
	b = append(b, byte(m.Track)|byte(account.MeasureIndividual.Without(m.Measure))<<measureShift)
	if m.UTM != "" {
		b = appendString(b, m.UTM)
	}
	b = appendTime(b, m.Accepted)
	b = appendTime(b, m.NotBefore)
	b = appendTime(b, m.Expires)
	return binary.AppendUvarint(b, uint64(max(m.Size, 0)))
}

func appendEnvelope(b []byte, e *mail.Envelope) []byte {
	b = appendString(b, e.From.String())
	flags := byte(0)
	if e.EightBit {
		flags |= envelopeEightBit
	}
	if e.SMTPUTF8 {
		flags |= envelopeSMTPUTF8
	}
	if e.RequireTLS {
		flags |= envelopeRequireTLS
	}
	if e.WaiveTLS {
		flags |= envelopeWaiveTLS
	}
	b = append(b, flags)
	b = appendString(b, e.Return)
	return appendString(b, e.ID)
}

func (d *decoder) message() *queue.Message {
	version := d.byte()
	if version != encodingVersion && version != encodingWithUTM {
		d.fail()
	}
	m := &queue.Message{}
	copy(m.ID[:], d.take(uint64(len(m.ID))))
	m.Envelope = d.envelope()
	m.Tenant, m.Stream, m.Campaign = d.string(), d.string(), d.string()
	for n := d.count(); n > 0; n-- {
		m.Tags = append(m.Tags, d.string())
	}
	if metadata := d.bytes(); len(metadata) > 0 {
		m.Metadata = json.RawMessage(string(metadata))
	}
	m.HeaderFrom = mail.Domain(d.string())
	m.Pool = d.string()
	measured := d.byte()
	m.Track = account.Track(measured & (1<<measureShift - 1))
	m.Measure = account.MeasureIndividual.Without(account.Measure(measured >> measureShift))
	if version == encodingWithUTM {
		m.UTM = d.string()
	}
	m.Accepted, m.NotBefore, m.Expires = d.time(), d.time(), d.time()
	size := d.uvarint()
	if size > 1<<62 {
		d.fail()
	}
	m.Size = int64(size)
	return m
}

func (d *decoder) envelope() mail.Envelope {
	e := mail.Envelope{From: d.address()}
	flags := d.byte()
	e.EightBit, e.SMTPUTF8 = flags&envelopeEightBit != 0, flags&envelopeSMTPUTF8 != 0
	e.RequireTLS, e.WaiveTLS = flags&envelopeRequireTLS != 0, flags&envelopeWaiveTLS != 0
	e.Return, e.ID = d.string(), d.string()
	return e
}

// appendRecipient encodes what RCPT TO said.
func appendRecipient(b []byte, r *mail.Recipient) []byte {
	b = appendString(b, r.Address.String())
	b = append(b, byte(r.Notify))
	b = appendString(b, r.OriginalType)
	return appendString(b, r.Original)
}

func (d *decoder) recipient() mail.Recipient {
	return mail.Recipient{
		Address: d.address(), Notify: mail.Notify(d.byte()),
		OriginalType: d.string(), Original: d.string(),
	}
}
