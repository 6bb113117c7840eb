package submission

import (
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// logbook is a log that several goroutines write and one reads.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// withChecks has acme's marketing stream look at rules.
func withChecks(o Options, checks map[string]account.Check) (Options, *logbook) {
	book := &logbook{}
	o.Logger = slog.New(slog.NewTextHandler(book, nil))
	o.Aligned = func(tenant string, from mail.Domain) bool { return tenant == "acme" && from == "example.com" }
	tenant := o.Accounts.(directory).tenants["acme"]
	streams := map[string]account.Stream{}
	for name, s := range tenant.Streams {
		if name == account.Marketing {
			s.Checks = checks
		}
		streams[name] = s
	}
	tenant.Streams = streams
	o.Accounts.(directory).tenants["acme"] = tenant
	return o, book
}

// TestEnforcedRules: a refusal names the rule, by DATA and by BDAT, and the
// next message is taken.
func TestEnforcedRules(t *testing.T) {
	o, book := withChecks(options(trusted()), bulk.Levels(account.CheckEnforce, nil))
	f := start(t, o)
	c := f.greeted(0)
	const refusal = "550 5.7.1 bulk rule one_click: List-Unsubscribe is missing"
	c.message(toMarketing, refusal)
	c.envelope()
	chunk := toMarketing + "\r\n"
	c.send("BDAT " + strconv.Itoa(len(chunk)) + " LAST\r\n" + chunk)
	c.expect(refusal)
	if f.store.count() != 0 {
		t.Error("it was taken all the same")
	}
	reply := c.message(simple, "250 2.0.0 queued as ")
	if id := f.store.last(t).Message.ID.String(); reply != "250 2.0.0 queued as "+id {
		t.Errorf("reply %q", reply)
	}
	oneClick := "List-Unsubscribe: <https://example.com/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
	// What is of taste is counted and does not refuse.
	c.message(oneClick+toMarketing, "250 2.0.0 queued as ")
	m := f.server.metrics
	if n := testutil.ToFloat64(m.refusals.WithLabelValues("5xx", reasonBulk)); n != 2 {
		t.Errorf("%v refusals", n)
	}
	if n := testutil.ToFloat64(m.bulk.WithLabelValues("one_click", "enforce")); n != 2 {
		t.Errorf("%v findings", n)
	}
	if n := testutil.ToFloat64(m.bulk.WithLabelValues("unsubscribe_link", "warn")); n != 3 {
		t.Errorf("%v warnings", n)
	}
	if book.count("breaks a rule") != 1 {
		t.Errorf("log: %s", book.text.String())
	}
}

// TestWarnings: mail passes with the reply that it always had.
func TestWarnings(t *testing.T) {
	o, book := withChecks(options(trusted()), bulk.Levels(account.CheckWarn, nil))
	f := start(t, o)
	c := f.greeted(0)
	for range 3 {
		reply := c.message(toMarketing, "250 2.0.0 queued as ")
		if id := f.store.last(t).Message.ID.String(); reply != "250 2.0.0 queued as "+id {
			t.Errorf("reply %q", reply)
		}
	}
	if n := testutil.ToFloat64(f.server.metrics.bulk.WithLabelValues("one_click", "warn")); n != 3 {
		t.Errorf("%v warnings", n)
	}
	if n := book.count("rule=one_click"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	c.message(simple, "250") // of a stream that does not look
	if n := testutil.CollectAndCount(f.server.metrics.bulk); n != 2 {
		t.Errorf("%d rules broken, want one_click and unsubscribe_link", n)
	}
}

func TestInjectionKeepsRules(t *testing.T) {
	o, _ := withChecks(options(), map[string]account.Check{"dkim_alignment": account.CheckEnforce})
	server, err := New(o.withStore(&memory{}))
	if err != nil {
		t.Fatal(err)
	}
	reader, _ := mail.ParseAddress("reader@example.net")
	i := Injection{Tenant: "acme", Recipients: []mail.Recipient{{Address: reader}}, Message: []byte("From: a@other.example\nX-Postrider-Stream: marketing\n\nx\n"), Protocol: "local"}
	if _, err := server.Inject(t.Context(), i); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "bulk rule dkim_alignment: there is no DKIM key that aligns with other.example") {
		t.Error(err)
	}
	examined, err := server.Examine(i)
	if err != nil || examined.Stream.Name != account.Marketing || len(examined.Findings) != 3 || examined.Findings[0].Rule != bulk.DKIMAlignment {
		t.Errorf("%+v, %v", examined.Findings, err)
	}
	for _, message := range []string{"no From: a\n\n", "From: a@example.com\nX-Postrider-Stream: nosuch\n\n", "From: a@example.com\nFrom: a@example.com\n\n", "From: a\x00\n\n"} {
		i.Message = []byte(message)
		if _, err := server.Examine(i); err == nil {
			t.Errorf("%q was examined", message)
		}
	}
	i.Tenant = "nobody"
	if _, err := server.Examine(i); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func (o Options) withStore(s Store) Options {
	o.Store = s
	return o
}

// TestLogHearsOfARuleOnceAnHour for each tenant and rule.
func TestLogHearsOfARuleOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarnings()
		told := func() (n int) {
			for _, tenant := range []string{"a", "b"} {
				for _, rule := range []bulk.Rule{bulk.Date, bulk.OneClick} {
					if w.due(time.Now(), tenant, rule) {
						n++
					}
				}
			}
			return n
		}
		for i, want := range []int{4, 0, 0, 4, 0} {
			if got := told(); got != want {
				t.Errorf("at %d: %d lines, want %d", i, got, want)
			}
			time.Sleep(25 * time.Minute)
		}
	})
}
