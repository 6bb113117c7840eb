package queuetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func acceptCases() []testCase {
	return []testCase{
		{"accepted message is offered whole", testWhole},
		{"null sender", testNullSender},
		{"unusual addresses", testUnusualAddresses},
		{"body of 20 MB", testBigBody},
		{"body of any octets", testAnyBody},
		{"body belongs to the caller", testBodyBelongsToCaller},
		{"accepted event for each recipient", testAcceptedEvents},
		{"accept with a cancelled context", testAcceptCancelled},
		{"accept after close", testClosed},
	}
}

// everything is a submission with no field left empty.
func (t *trial) everything() *queue.Submission {
	s := t.submission("reader@example.com", "other@example.com")
	s.Body = []byte("Subject: everything\r\n\r\n.\r\nFrom here on\r\n\r\n")
	s.Recipients[0].Notify = mail.NotifyFailure | mail.NotifyDelay
	s.Recipients[0].OriginalType = "rfc822"
	s.Recipients[0].Original = "The+Reader@Example.COM"
	m := &s.Message
	m.Envelope.EightBit = true
	m.Envelope.SMTPUTF8 = true
	m.Envelope.Return = "HDRS"
	m.Envelope.ID = "an envelope=id\t<&>"
	m.Campaign = "spring <&> ü"
	m.Tags = []string{"b", "a", "a", "", "with space", "ü\u2028"}
	m.Metadata = json.RawMessage(`{ "z":1.0,"a" : "<b>&amp;</b>  \u00fc ü","n":12345678901234567890,"z":null}`)
	m.Track, m.Measure = account.TrackClicks|account.TrackText, account.MeasureAggregate
	m.UTM = "utm_source=a%20%26b&utm_medium=email"
	m.NotBefore = m.Accepted.Add(-time.Minute)
	m.Expires = m.Accepted.Add(90 * time.Minute)
	m.Size = int64(len(s.Body))
	return s
}

func testWhole(t *trial) {
	s := t.accept(t.everything())
	for _, again := range []string{"", " after reopening"} {
		deliveries := t.take(key(), 2)
		for _, d := range deliveries {
			t.wantMessage("message"+again, d.Message, &s.Message)
			t.same("recipient"+again, d.Recipient, s.Recipients[d.Index])
			if d.Attempts != 0 || d.Key() != key() {
				t.Errorf("attempts %d in %s%s", d.Attempts, d.Key(), again)
			}
			t.wantBody(d, s.Body)
		}
		t.same("listed recipient"+again, t.list(queue.Selector{}, 10)[0].Recipient, s.Recipients[0])
		t.Store().Return(deliveries)
		t.Reopen(t.T)
	}
}

// wantMessage compares every field; tags and metadata octet by octet.
func (t *trial) wantMessage(what string, got, want *queue.Message) {
	t.Helper()
	if !bytes.Equal(got.Metadata, want.Metadata) {
		t.Fatalf("%s: metadata %q, want %q", what, got.Metadata, want.Metadata)
	}
	t.same(what, got, want)
}

func (t *trial) wantBody(d *queue.Delivery, want []byte) {
	t.Helper()
	got, err := t.Store().Body(t.Context(), d.Message)
	if err != nil {
		t.Fatalf("Body: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Body gave %d octets that differ from the %d accepted", len(got), len(want))
	}
}

func testNullSender(t *trial) {
	s := t.submission("reader@example.com")
	s.Message.Envelope.From = mail.Address{}
	s.Message.HeaderFrom = ""
	t.accept(s)
	t.Reopen(t.T)
	d := t.take(key(), 1)[0]
	t.wantMessage("message", d.Message, &s.Message)
	if !d.Message.Envelope.From.IsZero() {
		t.Error("the null sender came back as another")
	}
	t.settle(event.Delivered, d)
}

func unusualAddresses() []string {
	return []string{
		`"two words"@example.com`, `"a@b"@example.com`, `"quo\"te\\"@example.com`, `"c> NOTIFY=NEVER <d"@example.com`,
		`" "@example.com`, `"..dots.."@example.com`, "o'neil/x=y+tag@example.com", "Case.Kept@example.com",
		"jörg@example.com", "用户@example.com", "Ünï/cödé@bücher.example", "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]",
		strings.Repeat("l", 64) + "@example.com",
		"x@" + strings.Repeat(strings.Repeat("d", 60)+".", 3) + "example",
		"under_score@under_score.example", "x@xn--bcher-kva.example", "a/b@example.com", "a\u00a0b@example.com",
	}
}

func testUnusualAddresses(t *trial) {
	s := t.acceptTo(unusualAddresses()...)
	byKey := map[queue.Key][]int{}
	for i, r := range s.Recipients {
		k := keyOf(r.Address.Domain())
		byKey[k] = append(byKey[k], i)
	}
	t.Reopen(t.T)
	for k, indexes := range byKey {
		deliveries := t.take(k, len(indexes))
		for _, d := range deliveries {
			if want := s.Recipients[d.Index].Address; d.Recipient.Address != want {
				t.Errorf("recipient %d is %s, want %s", d.Index, d.Recipient.Address, want)
			}
		}
		t.settle(event.Delivered, deliveries...)
	}
	t.wantOwed()
}

func testBigBody(t *trial) {
	s := t.submission("reader@example.com")
	s.Body = make([]byte, 20<<20)
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(s.Body); err != nil {
		t.Fatal(err)
	}
	s.Message.Size = int64(len(s.Body))
	t.accept(s)
	d := t.take(key(), 1)[0]
	t.wantBody(d, s.Body)
	t.Store().Return([]*queue.Delivery{d})
	t.Reopen(t.T)
	d = t.take(key(), 1)[0]
	t.wantBody(d, s.Body)
	t.settle(event.Delivered, d)
}

func testAnyBody(t *trial) {
	for _, body := range []string{"", "\x00", "no line end", "\r\n", strings.Repeat("\xff\x00\r\n.\r\n", 1000), strings.Repeat("x", 65536)} {
		s := t.submission("reader@example.com")
		s.Body = []byte(body)
		s.Message.Size = int64(len(body))
		t.accept(s)
		d := t.take(key(), 1)[0]
		t.wantBody(d, []byte(body))
		t.settle(event.Delivered, d)
	}
}

func testBodyBelongsToCaller(t *trial) {
	s := t.submission("reader@example.com")
	s.Body = []byte(strings.Repeat("original", 1000))
	want := bytes.Clone(s.Body)
	t.accept(s)
	clear(s.Body)
	d := t.take(key(), 1)[0]
	t.wantBody(d, want)
	t.settle(event.Delivered, d)
}

func testAcceptedEvents(t *trial) {
	s := t.accept(t.everything())
	events := t.Events(t.T)
	if len(events) != len(s.Recipients) {
		t.Fatalf("%d events for %d recipients", len(events), len(s.Recipients))
	}
	for i, r := range s.Recipients {
		t.same("accepted event", events[i], queue.AcceptedEvent(&s.Message, i, r.Address))
	}
}

// Whether a cancelled context is noticed in time is the store's affair; what
// it then says must be true.
func testAcceptCancelled(t *trial) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var want []queue.RecipientID
	for range 20 {
		s := t.submission("reader@example.com")
		if err := t.Store().Accept(ctx, s); err == nil {
			want = append(want, ids(s)...)
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("Accept: %v", err)
		}
	}
	t.wantOwed(want...)
	t.Reopen(t.T)
	t.wantOwed(want...)
	if got := len(t.Events(t.T)); got != len(want) {
		t.Fatalf("%d accepted events for %d accepted", got, len(want))
	}
}

func testClosed(t *trial) {
	old := t.Store()
	t.acceptTo("reader@example.com")
	t.Reopen(t.T)
	d := t.take(key(), 1)[0]
	_, readyErr := old.Ready(t.Context())
	_, nextErr := old.Next(t.Context(), key(), 1)
	for call, err := range map[string]error{
		"Accept": old.Accept(t.Context(), t.submission("reader@example.com")),
		"Ready":  readyErr,
		"Next":   nextErr,
		"Settle": old.Settle(t.Context(), []queue.Outcome{outcome(d, event.Delivered)}),
	} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s after Close: %v", call, err)
		}
	}
	t.settle(event.Delivered, d)
}
