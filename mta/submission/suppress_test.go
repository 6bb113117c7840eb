package submission

import (
	"errors"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// onlist suppresses by local part: gone on every stream, left on marketing.
func onlist(tenant, stream string, a mail.Address) (string, bool, error) {
	switch {
	case tenant != "acme":
		return "", false, nil
	case a.Local() == "broken":
		return "", false, errors.New("damaged")
	}
	return "for " + a.Local(), a.Local() == "gone" || a.Local() == "left" && stream == account.Marketing, nil
}

func startWithList(t *testing.T, drop ...string) *fixture {
	o := options(trusted())
	o.Suppressed = onlist
	streams := map[string]account.Stream{}
	for name, s := range o.Accounts.(directory).tenants["acme"].Streams {
		for _, dropping := range drop {
			s.DropSuppressed = s.DropSuppressed || name == dropping
		}
		streams[name] = s
	}
	tenant := o.Accounts.(directory).tenants["acme"]
	tenant.Streams = streams
	o.Accounts.(directory).tenants["acme"] = tenant
	return start(t, o)
}

const toMarketing = "X-Postrider-Stream: marketing\r\n" + simple

// TestSuppressedRecipients proves who is refused at RCPT, who with the whole
// message, and who is accepted to be dropped.
func TestSuppressedRecipients(t *testing.T) {
	for name, test := range map[string]struct {
		drop     string
		to       []string
		refused  string // local part of who is refused at RCPT
		message  string
		want     string
		accepted int
	}{
		"everywhere":          {"", []string{"gone", "reader"}, "gone", simple, "250", 1},
		"not on this stream":  {"", []string{"left", "reader"}, "", simple, "250", 2},
		"one of two":          {"", []string{"left", "reader"}, "", toMarketing, "250", 2},
		"nobody is left":      {"", []string{"left"}, "", toMarketing, "550 5.7.1 suppressed: for left", 0},
		"list unknown":        {"", []string{"broken"}, "", toMarketing, "250", 1},
		"dropped":             {account.Marketing, []string{"left"}, "", toMarketing, "250", 1},
		"drops on any stream": {account.Marketing, []string{"gone"}, "", simple, "550 5.7.1 suppressed: for gone", 0},
		"drops on the stream": {account.Transactional, []string{"gone"}, "", simple, "250", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := startWithList(t, test.drop)
			c := f.greeted(0)
			c.say("MAIL FROM:<sender@example.com>", "250")
			for _, local := range test.to {
				want := "250 2.1.5"
				if local == test.refused {
					want = "550 5.7.1 suppressed: for " + local
				}
				c.say("RCPT TO:<"+local+"@example.net>", want)
			}
			c.say("DATA", "354")
			c.say(test.message+"\r\n.", test.want)
			if n := f.store.count(); n == 0 && test.accepted == 0 {
				return
			}
			if got := f.store.last(t).Recipients; len(got) != test.accepted {
				t.Errorf("accepted %+v", got)
			}
		})
	}
}

// TestSuppressedInjection proves that the same holds for what comes over HTTP.
func TestSuppressedInjection(t *testing.T) {
	f := startWithList(t)
	_, err := f.server.Inject(t.Context(), injection(t, "gone@example.net", "From: a@example.com\n\nx\n"))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "suppressed: for gone") {
		t.Errorf("got %v", err)
	}
	both := injection(t, "gone@example.net", "From: a@example.com\n\nx\n")
	both.Recipients = append(both.Recipients, both.Recipients[0])
	if _, err := f.server.Inject(t.Context(), both); err == nil || !strings.Contains(err.Error(), "all 2 recipients, the last one: for gone") {
		t.Errorf("got %v", err)
	}
}

// TestSuppressedAreNoAttack proves that a list full of them does not cost the
// connection.
func TestSuppressedAreNoAttack(t *testing.T) {
	f := startWithList(t)
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com>", "250")
	for range 50 {
		c.say("RCPT TO:<gone@example.net>", "550 5.7.1")
	}
	c.say("RCPT TO:<reader@example.net>", "250")
}
