package smtpclient

import "github.com/postrider-mta/postrider/internal/mail"

// begin prepares a transaction and answers on the spot what this server's
// extensions cannot carry.
func (c *Client) begin(t *Transaction) *transaction {
	x := &transaction{Transaction: t, first: MAIL, answers: make([]Answer, len(t.Recipients))}
	x.size = dataSize(t.Message)
	x.asked = make([]int, len(t.Recipients))
	for i := range t.Recipients {
		x.asked[i] = i
	}
	if refusal := c.cannotCarry(x); !refusal.IsZero() {
		x.decide(Answer{refusal, MAIL})
		x.asked = nil
		return x
	}
	c.internationalise(x)
	return x
}

// dataSize is the size of a message as RFC 1870 section 6.1 counts it: with the
// line end that we add, without dot-stuffing.
func dataSize(pieces [][]byte) int64 {
	end, size := newTail(), 0
	for _, piece := range pieces {
		end.remember(piece)
		size += len(piece)
	}
	return int64(size + end.missing())
}

// cannotCarry returns the refusal of a message that the server has no way of
// taking.
func (c *Client) cannotCarry(x *transaction) mail.Reply {
	switch {
	case c.offer.Size > 0 && x.size > c.offer.Size:
		return mail.Reply{
			Code: 552, Enhanced: mail.EnhancedCode{Class: 5, Subject: 3, Detail: 4},
			Text: "message is larger than the server accepts",
		}
	case x.Envelope.EightBit && !c.offer.EightBitMIME:
		return mail.Reply{
			Code: 554, Enhanced: mail.EnhancedCode{Class: 5, Subject: 6, Detail: 3},
			Text: "message is 8-bit and the server does not offer 8BITMIME",
		}
	case (x.Envelope.SMTPUTF8 || !x.Envelope.From.ASCII()) && !c.offer.SMTPUTF8:
		return needsUTF8()
	}
	return mail.Reply{}
}

func needsUTF8() mail.Reply {
	return mail.Reply{
		Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 6, Detail: 7},
		Text: "message is internationalised and the server does not offer SMTPUTF8",
	}
}

// internationalise asks for SMTPUTF8 where an address needs it (RFC 6531
// section 3.4), or refuses the recipients that need it.
func (c *Client) internationalise(x *transaction) {
	x.utf8 = x.Envelope.SMTPUTF8 || !x.Envelope.From.ASCII()
	kept := x.asked[:0]
	for i := range x.Recipients {
		ascii := x.Recipients[i].Address.ASCII()
		if !ascii && !c.offer.SMTPUTF8 {
			x.answers[i] = Answer{needsUTF8(), RCPT}
			continue
		}
		x.utf8 = x.utf8 || !ascii
		kept = append(kept, i)
	}
	x.asked = kept
}
