package notice

import (
	"encoding/json"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/queue"
)

// compose makes the message that tells the sender of m. It belongs to the same
// tenant, is transactional, and names the message in its metadata.
func (n *Notifier) compose(now time.Time, m *queue.Message, body []byte, outcomes []dsn.Outcome) (*queue.Submission, error) {
	id := queue.NewID(now)
	envelope := m.Envelope
	if envelope.RequireTLS {
		envelope.Return = "HDRS" // RFC 8689 section 5
	}
	written, err := dsn.Write(dsn.Notice{
		Host: n.options.Host, ID: id.String(), Now: now, Arrival: m.Accepted,
		Envelope: envelope, Outcomes: outcomes, Original: body, MaxFull: n.options.MaxReturned,
	})
	if err != nil {
		return nil, err
	}
	about, err := json.Marshal(map[string]string{"dsn_for": m.ID.String()})
	if err != nil {
		return nil, err
	}
	t, _ := n.options.Accounts.Tenant(m.Tenant)
	age := t.Streams[account.Transactional].MaxAge
	if age == 0 {
		age = n.options.MaxAge
	}
	return &queue.Submission{
		Message: queue.Message{
			ID: id, Tenant: m.Tenant, Stream: account.Transactional, Metadata: about, HeaderFrom: n.options.Host,
			Envelope: mail.Envelope{EightBit: written.EightBit, SMTPUTF8: written.SMTPUTF8},
			Accepted: now, Expires: now.Add(age), Size: int64(len(written.Message)),
		},
		// RFC 3461 section 6.1: nobody wants to hear of a DSN.
		Recipients: []mail.Recipient{{Address: m.Envelope.From, Notify: mail.NotifyNever}},
		Body:       written.Message,
	}, nil
}
