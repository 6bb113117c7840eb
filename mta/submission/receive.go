package submission

import (
	"context"
	"net/netip"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Receiver takes the mail of a server in the queue's place, from anybody: such
// a server knows no accounts, offers no AUTH and sends nothing on. Errors that
// are an *smtp.SMTPError become that reply, those of the queue what they are at
// submission, and all others a temporary one that says nothing of the cause.
//
// The methods may be called from any goroutine.
type Receiver interface {
	// Sender says whether a client may begin a message.
	Sender(client netip.Addr) error
	// Recipient says whether there is mail to be taken for an address.
	Recipient(address mail.Address) error
	// Receive takes a message. What has to last does when it returns nil, which
	// makes the reply 250. The octets of the message are lent until then.
	Receive(ctx context.Context, m Received) error
}

// Received is a message as it came.
type Received struct {
	// Client is invalid where it has no address; Greeted is what it called
	// itself, and Protocol the keyword of RFC 3848.
	Client            netip.Addr
	Greeted, Protocol string
	// From is zero for the null reverse-path.
	From mail.Address
	// Recipients are those that Recipient let pass, each once.
	Recipients []mail.Address
	// Message has its dots unstuffed. Nothing in it was checked.
	Message []byte
}

// receive hands the message to the Receiver.
func (s *session) receive(b *body) error {
	p := s.peer
	received := Received{
		Client: p.address, Greeted: s.conn.Hostname(), Protocol: s.protocol(),
		From: s.tx.envelope.From, Message: b.octets[b.start:],
	}
	for _, r := range s.tx.recipients {
		received.Recipients = append(received.Recipients, r.Address)
	}
	if err := p.server.options.Receiver.Receive(p.server.background, received); err != nil {
		return err
	}
	p.taken(int64(len(received.Message)))
	return nil
}

// taken counts a message that was acknowledged.
func (p *peer) taken(octets int64) {
	p.messages++
	p.errors = 0
	p.metrics.accepted.Inc()
	p.metrics.octets.Add(float64(octets))
}

// withPostmaster gives the postmaster, whom a Receiver has without a domain too
// (RFC 5321 section 4.5.1), the one that go-smtp asks for.
func (p *peer) withPostmaster(argument string) string {
	if p.server.options.Receiver == nil || !strings.EqualFold(path(argument), "postmaster") {
		return argument
	}
	return "TO:<postmaster@" + p.server.options.Hostname + ">"
}
