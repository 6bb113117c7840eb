package boltqueue

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fullAcceptance has something in every field.
func fullAcceptance(t testing.TB) *acceptance {
	t.Helper()
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	return &acceptance{
		message: &queue.Message{
			ID: queue.NewID(at), Tenant: "acme", Stream: "marketing", Campaign: "spring", Tags: []string{"a", ""},
			Envelope: mail.Envelope{From: address(t, `"odd sender"@acme.example`), EightBit: true, SMTPUTF8: true, RequireTLS: true, WaiveTLS: true, Return: "HDRS", ID: "env"},
			Metadata: json.RawMessage(`{"a":1}`), HeaderFrom: "acme.example", Pool: "fast", Track: account.TrackAll, Measure: account.MeasureHygiene, UTM: "utm_source=news",
			Accepted: at, NotBefore: at.Add(time.Hour), Expires: time.Date(9999, 1, 1, 0, 0, 0, 1, time.UTC), Size: 12345,
		},
		due: nanoseconds(at),
		recipients: []mail.Recipient{
			{Address: address(t, "jürgen@[192.0.2.1]"), Notify: mail.NotifySuccess | mail.NotifyDelay, OriginalType: "rfc822", Original: "x@y"},
			{Address: address(t, "plain@example.com")},
		},
		queues: []uint64{7, 1 << 40},
	}
}

func TestAcceptanceRoundTrip(t *testing.T) {
	want := fullAcceptance(t)
	payload := append(want.appendHead(nil), "the body"...)
	got, err := decodeAcceptance(payload)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if _, body, err := splitAcceptance(payload); err != nil || string(body) != "the body" {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestMessageOfZerosRoundTrip(t *testing.T) {
	want := &queue.Message{}
	d := decoder{b: appendMessage(nil, want)}
	if got := d.message(); d.err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, d.err)
	}
}

func TestChangesRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := make([]change, rapid.IntRange(0, 5).Draw(r, "n"))
		for i := range want {
			c := &want[i]
			copy(c.recipient.message[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(r, "id"))
			c.recipient.index = rapid.Uint32Range(0, 1<<31-1).Draw(r, "index")
			c.queue = rapid.Uint64().Draw(r, "queue")
			c.event = rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(r, "event")
			if c.gone = rapid.Bool().Draw(r, "gone"); !c.gone {
				c.due = rapid.Int64Range(0, never-1).Draw(r, "due")
				c.attempts = rapid.Uint32Range(0, 1000).Draw(r, "attempts")
			}
		}
		got, err := decodeChanges(appendChanges(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			r.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestRowsRoundTrip(t *testing.T) {
	a := fullAcceptance(t)
	m := messageRow{position: journal.MakePosition(3, 4), bytes: 1 << 32, owed: 2, queues: newQueueList(a.queues), message: a.message}
	if got, err := decodeMessageRow(m.append(nil)); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("message: got %+v, %v", got, err)
	}
	r := recipientRow{due: 5, attempts: 6, recipient: a.recipients[0], last: []byte("{}")}
	if got, err := decodeRecipientRow(r.append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("recipient: got %+v, %v", got, err)
	}
	q := queueRow{key: queue.Key{Tenant: "t", Stream: "s", Domain: "d.example"}, count: 9, due: 10}
	if got, err := decodeQueueRow(q.append(nil)); err != nil || got != q {
		t.Errorf("queue: got %+v, %v", got, err)
	}
	q.prompt, q.first = 3, recipientKey{a.message.ID, 7}
	if got, err := decodeQueueRow(q.append(nil)); err != nil || got != q {
		t.Errorf("queue with prompt recipients: got %+v, %v", got, err)
	}
	u := unfinished{journal.MakePosition(5, 6), place{7, q.first}}
	if got, err := decodeUnfinished(u.append(nil)); err != nil || got != u {
		t.Errorf("unfinished checkpoint: got %+v, %v", got, err)
	}
	s := segmentRow{1, 2}
	if got, err := decodeSegmentRow(s.append(nil)); err != nil || got != s {
		t.Errorf("segment: got %+v, %v", got, err)
	}
}

func TestDueKeysSortByTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func() mark {
			m := mark{due: rapid.Int64Range(0, never-1).Draw(r, "due")}
			m.index = rapid.Uint32().Draw(r, "index")
			copy(m.message[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(r, "id"))
			return m
		}
		a, b := draw(), draw()
		ka, kb := appendDueKey(nil, 1, a), appendDueKey(nil, 1, b)
		if a.before(b) != (string(ka) < string(kb)) {
			r.Fatalf("%v before %v is %v, keys say otherwise", a, b, a.before(b))
		}
		if got, ok := parseDueKey(ka); !ok || got != a {
			r.Fatalf("parsed %v, want %v", got, a)
		}
	})
}

func TestNanosecondsStayInRange(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(-5, 0), time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if n := nanoseconds(at); n < 0 || n == never {
			t.Errorf("%v gives %d", at, n)
		}
	}
	at := time.Unix(1_700_000_000, 123)
	if !fromNanoseconds(nanoseconds(at)).Equal(at) {
		t.Error("a time of today does not come back")
	}
}

func FuzzDecode(f *testing.F) {
	a := fullAcceptance(f)
	f.Add(a.appendHead(nil))
	f.Add(appendChanges(nil, []change{{gone: true, event: []byte("{}")}, {due: 3, attempts: 4}}))
	f.Add([]byte("\x01\x02{}"))
	m := messageRow{queues: newQueueList(a.queues), message: a.message}
	f.Add(m.append(nil))
	r := recipientRow{recipient: a.recipients[0]}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decodeAcceptance(b); err == nil && len(a.recipients) != len(a.queues) {
			t.Error("recipients without queues")
		}
		if c, err := decodeChanges(b); err == nil {
			again, err := decodeChanges(appendChanges(nil, c))
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("changes %+v became %+v, %v", c, again, err)
			}
		}
		for kind := byte(0); kind < 6; kind++ {
			if c, err := decodeCommitted(journal.Record{Kind: kind, Payload: b}); err == nil {
				for i := range c.count() {
					c.event(i)
				}
			}
		}
		_, _ = decodeMessageRow(b)
		_, _ = decodeRecipientRow(b)
		_, _ = decodeQueueRow(b)
		_, _ = decodeSegmentRow(b)
		_, _ = parsePlace(string(b))
	})
}
