package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/queue"
)

type box struct {
	fail error
	got  []queue.Submission
}

func (b *box) Accept(_ context.Context, s *queue.Submission) error {
	if b.fail != nil {
		return b.fail
	}
	b.got = append(b.got, *s)
	return nil
}

type directory map[string]account.Tenant

func (d directory) Tenant(name string) (account.Tenant, bool) {
	t, ok := d[name]
	return t, ok
}

func (directory) Credential(string) (account.Credential, bool) { return account.Credential{}, false }

// desk is a Notifier with all that it stands on.
type desk struct {
	*Notifier
	box *box
	log *strings.Builder
	now time.Time
}

func newDesk(t *testing.T, change func(*Options)) *desk {
	t.Helper()
	d := &desk{box: &box{}, log: &strings.Builder{}, now: time.Date(2026, 3, 8, 12, 30, 0, 0, time.UTC)}
	streams := map[string]account.Stream{account.Transactional: {MaxAge: time.Hour}}
	for _, rule := range []account.Notices{account.NoticesAsked, account.NoticesOff, account.NoticesFailures, account.NoticesDelays} {
		streams[rule.String()] = account.Stream{Notices: rule}
	}
	options := Options{
		Host: "mail.sender.example", Store: d.box, Accounts: directory{"shop": {Streams: streams}},
		Logger: slog.New(slog.NewTextHandler(d.log, nil)), Metrics: prometheus.NewRegistry(), Now: func() time.Time { return d.now },
	}
	if change != nil {
		change(&options)
	}
	var err error
	if d.Notifier, err = New(options); err != nil {
		t.Fatal(err)
	}
	return d
}

func address(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const letter = "Message-ID: <1@shop.example>\r\nFrom: shop@shop.example\r\nSubject: hello\r\n\r\nGood day.\r\n"

func (d *desk) delivery(t *testing.T, stream string, notify mail.Notify) *queue.Delivery {
	t.Helper()
	m := &queue.Message{
		ID: queue.NewID(d.now), Tenant: "shop", Stream: stream, HeaderFrom: "shop.example", Accepted: d.now.Add(-time.Hour), Expires: d.now.Add(24 * time.Hour),
		Envelope: mail.Envelope{From: address(t, "shop@shop.example"), Return: "FULL", ID: "order 7"},
	}
	return &queue.Delivery{Message: m, Recipient: mail.Recipient{Address: address(t, "reader@d.example"), Notify: notify, OriginalType: "rfc822", Original: "Reader@d.example"}}
}

func failure(d *queue.Delivery) dsn.Outcome {
	return dsn.Outcome{Recipient: d.Recipient, Action: bounce.Failed, RemoteMTA: "mx.d.example", Reply: mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}, Text: "no such user"}}
}

func TestWanted(t *testing.T) {
	d := newDesk(t, nil)
	const s, f, y, never = mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay, mail.NotifyNever
	for _, test := range []struct {
		stream string
		notify mail.Notify
		want   string // failed, delayed, relayed
	}{
		{"asked", 0, ""},
		{"asked", f, "failed"},
		{"asked", s, "relayed"},
		{"asked", s | f | y, "failed delayed relayed"},
		{"asked", never, ""},
		{"off", s | f | y, ""},
		{"off", 0, ""},
		{"failures", 0, "failed"},
		{"failures", y, "delayed"},
		{"failures", never, ""},
		{"delays", 0, "failed delayed"},
		{"delays", f, "failed"},
		{"delays", never, ""},
		{"gone", f, "failed"},
		{"gone", 0, ""},
	} {
		var got []string
		one := d.delivery(t, test.stream, test.notify)
		one.Message.Accepted = d.now.Add(-5 * time.Hour)
		for _, action := range []bounce.Action{bounce.Failed, bounce.Delayed, bounce.Relayed} {
			if d.Wanted(one, action) {
				got = append(got, string(action))
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s with NOTIFY=%s: %v, want %s", test.stream, test.notify, got, test.want)
		}
	}
	one := d.delivery(t, "asked", 0)
	if n := testing.AllocsPerRun(100, func() { d.Wanted(one, bounce.Relayed) }); n != 0 {
		t.Errorf("%v allocations to tell nobody", n)
	}
}

// TestDelayIsToldOnce: at the first deferral behind the limit, over a restart
// too, since the last deferral is in the queue.
func TestDelayIsToldOnce(t *testing.T) {
	d := newDesk(t, nil)
	one := d.delivery(t, "asked", mail.NotifyDelay)
	for _, test := range []struct {
		accepted, last time.Duration // ago; no deferral before if zero
		notBefore      time.Duration
		want           bool
	}{
		{accepted: time.Hour},
		{accepted: 3 * time.Hour, last: time.Hour},
		{accepted: 4 * time.Hour, want: true},
		{accepted: 5 * time.Hour, last: 2 * time.Hour, want: true},
		{accepted: 9 * time.Hour, last: 4 * time.Hour},
		{accepted: 50 * time.Hour, notBefore: 3 * time.Hour},
	} {
		one.Message.Accepted, one.Last, one.Message.NotBefore = d.now.Add(-test.accepted), nil, time.Time{}
		if test.last > 0 {
			one.Last = &event.Event{Time: d.now.Add(-test.last)}
		}
		if test.notBefore > 0 {
			one.Message.NotBefore = d.now.Add(-test.notBefore)
		}
		if got := d.Wanted(one, bounce.Delayed); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestNotify(t *testing.T) {
	d := newDesk(t, nil)
	one := d.delivery(t, "asked", mail.NotifyFailure)
	if err := d.Notify(t.Context(), one.Message, []byte(letter), []dsn.Outcome{failure(one)}); err != nil {
		t.Fatal(err)
	}
	if len(d.box.got) != 1 {
		t.Fatalf("%d messages", len(d.box.got))
	}
	s := d.box.got[0]
	m := s.Message
	if !m.Envelope.From.IsZero() || m.Tenant != "shop" || m.Stream != account.Transactional || m.HeaderFrom != "mail.sender.example" ||
		!m.Expires.Equal(d.now.Add(time.Hour)) || m.Size != int64(len(s.Body)) || string(m.Metadata) != fmt.Sprintf(`{"dsn_for":"%s"}`, one.Message.ID) {
		t.Errorf("%+v", m)
	}
	if len(s.Recipients) != 1 || s.Recipients[0].Address != one.Message.Envelope.From || s.Recipients[0].Notify != mail.NotifyNever {
		t.Errorf("recipients %+v", s.Recipients)
	}
	r, err := report.New(bounce.New()).Parse(s.Body)
	if err != nil || r.Kind != report.DSN || len(r.Recipients) != 1 || r.Recipients[0].Address != "reader@d.example" || r.EnvelopeID != "order 7" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(string(s.Body), "Good day.") {
		t.Error("RET=FULL did not return the message")
	}
	if got := testutil.ToFloat64(d.metrics.written.WithLabelValues("failed")); got != 1 {
		t.Errorf("%v written", got)
	}
}

// TestReturned: what goes back is bounded, and never whole of what had to be
// protected on its way (RFC 8689).
func TestReturned(t *testing.T) {
	long := letter + strings.Repeat("Good day.\r\n", 100)
	for name, test := range map[string]struct {
		body    string
		protect bool
		whole   bool
	}{
		"small": {letter, false, true}, "large": {long, false, false}, "protected": {letter, true, false},
	} {
		d := newDesk(t, func(o *Options) { o.MaxReturned = 500 })
		one := d.delivery(t, "asked", mail.NotifyFailure)
		one.Message.Envelope.RequireTLS = test.protect
		if err := d.Notify(t.Context(), one.Message, []byte(test.body), []dsn.Outcome{failure(one)}); err != nil {
			t.Fatal(err)
		}
		body := string(d.box.got[0].Body)
		if strings.Contains(body, "Good day.") != test.whole || !strings.Contains(body, "Subject: hello") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestNobodyIsTold(t *testing.T) {
	skipped := func(d *desk, reason string) float64 {
		return testutil.ToFloat64(d.metrics.skipped.WithLabelValues(reason))
	}
	d := newDesk(t, nil)
	for _, field := range []string{
		"Auto-Submitted: auto-replied", "auto-submitted : Auto-Generated; owner=x", "Auto-Submitted:\r\n auto-replied (out)",
		"Content-Type: multipart/report;\r\n boundary=x", "Content-Type:\r\n Multipart/Report; x=y",
	} {
		one := d.delivery(t, "asked", mail.NotifyFailure)
		if err := d.Notify(t.Context(), one.Message, []byte("Subject: x\r\n"+field+"\r\n\r\nx\r\n"), []dsn.Outcome{failure(one)}); err != nil || len(d.box.got) > 0 {
			t.Errorf("%q was answered, %v", field, err)
		}
	}
	if skipped(d, skippedAutomatic) != 5 {
		t.Errorf("%v skipped", skipped(d, skippedAutomatic))
	}
	for _, field := range []string{"Auto-Submitted: no", "Subject: Auto-Submitted: auto-replied", "X: y\r\n Auto-Submitted: auto-replied", "Content-Type: multipart/mixed; x=multipart/report", "X: y\r\n\r\nAuto-Submitted: auto-replied"} {
		one, before := d.delivery(t, "asked", mail.NotifyFailure), len(d.box.got)
		if err := d.Notify(t.Context(), one.Message, []byte(field+"\r\n\r\nx\r\n"), []dsn.Outcome{failure(one)}); err != nil || len(d.box.got) != before+1 {
			t.Errorf("%q was not answered, %v", field, err)
		}
	}

	null := d.delivery(t, "failures", mail.NotifyFailure|mail.NotifySuccess|mail.NotifyDelay)
	null.Message.Envelope.From = mail.Address{}
	for _, action := range []bounce.Action{bounce.Failed, bounce.Delayed, bounce.Relayed} {
		if d.Wanted(null, action) {
			t.Errorf("the null sender is told of %s", action)
		}
	}
	if skipped(d, skippedNullSender) != 1 || skipped(d, skippedOwn) != 0 || d.log.Len() > 0 {
		t.Errorf("null sender: %v, own: %v, log %s", skipped(d, skippedNullSender), skipped(d, skippedOwn), d.log)
	}
	null.Message.HeaderFrom = "mail.sender.example"
	if d.Wanted(null, bounce.Failed) || skipped(d, skippedOwn) != 1 {
		t.Error("a report of ours that failed was not counted")
	}
	if log := d.log.String(); !strings.Contains(log, "r***@d.example") || strings.Contains(log, "reader") {
		t.Errorf("log: %s", log)
	}

	one := d.delivery(t, "asked", mail.NotifyFailure)
	before := len(d.box.got)
	if err := d.Notify(t.Context(), one.Message, nil, nil); err != nil || len(d.box.got) != before || skipped(d, skippedUnwritable) != 0 {
		t.Errorf("nothing to tell: %v", err)
	}
	if err := d.Notify(t.Context(), one.Message, nil, []dsn.Outcome{{Action: "strange"}}); err != nil || skipped(d, skippedUnwritable) != 1 {
		t.Errorf("what cannot be said: %v", err)
	}
}

func TestLimit(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.PerHour = 3 })
	tell := func(sender string) {
		one := d.delivery(t, "asked", mail.NotifyFailure)
		one.Message.Envelope.From = address(t, sender)
		if err := d.Notify(t.Context(), one.Message, []byte(letter), []dsn.Outcome{failure(one)}); err != nil {
			t.Fatal(err)
		}
	}
	d.box.fail = queue.ErrFull
	one := d.delivery(t, "asked", mail.NotifyFailure)
	for range 5 {
		if err := d.Notify(t.Context(), one.Message, []byte(letter), []dsn.Outcome{failure(one)}); !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
	}
	d.box.fail = nil // what was not taken does not count
	for range 5 {
		tell("shop@shop.example")
	}
	tell("SHOP@shop.example")
	if len(d.box.got) != 3 {
		t.Errorf("%d for one sender, want 3", len(d.box.got))
	}
	tell("other@shop.example")
	d.now = d.now.Add(time.Hour)
	tell("shop@shop.example")
	if len(d.box.got) != 5 {
		t.Errorf("%d in all, want 5", len(d.box.got))
	}
	d.limit.most = 2
	tell("third@shop.example")
	tell("fourth@shop.example")
	tell("shop@shop.example")
	if len(d.box.got) != 7 || len(d.limit.given) != 2 {
		t.Errorf("%d in all, want 7; %d senders counted", len(d.box.got), len(d.limit.given))
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); !errors.Is(err, ErrOptions) {
		t.Error(err)
	}
}

// FuzzAutomatic: whatever the message, its fields are read from its header
// alone.
func FuzzAutomatic(f *testing.F) {
	f.Add("Auto-Submitted: auto-replied\r\n\r\n", "no")
	f.Add("X:\n\tAuto-Submitted: x\n\n", "auto-generated")
	f.Add(":\r\r\n \x00", "")
	f.Fuzz(func(t *testing.T, header, value string) {
		header, _, _ = strings.Cut(strings.ReplaceAll(header, "\r\n", "\n"), "\n\n")
		header = strings.TrimRight(header, "\r\n")
		body := "Auto-Submitted: auto-replied\r\n"
		if isAutomatic([]byte("X: y\n"+header+"\n\n"+body)) != isAutomatic([]byte("X: y\n"+header+"\n\n")) {
			t.Errorf("%q: the content counts", header)
		}
		if !isAutomatic([]byte("Auto-Submitted: auto-replied\n" + header)) {
			t.Errorf("%q: the first field does not count", header)
		}
	})
}
