package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

func types() []event.Type {
	return []event.Type{
		event.Accepted, event.Deferred, event.Delivered, event.Bounced, event.Expired, event.Dropped,
		event.Opened, event.Clicked, event.Unsubscribed, event.Complained,
		event.Suppressed, event.Unsuppressed, event.RateExceeded,
	}
}

// golden is the public contract: a change here breaks somebody's consumer.
const golden = `{
  "id": "m-3-2-deferred",
  "type": "deferred",
  "time": "2026-03-01T12:30:00.25Z",
  "tenant": "acme",
  "stream": "marketing",
  "campaign": "spring",
  "tags": [
    "a",
    "b"
  ],
  "metadata": {
    "order": 17
  },
  "message": "m",
  "index": 3,
  "recipient": "reader@example.com",
  "site": "google",
  "source": "192.0.2.1",
  "host": "mx1.example.com",
  "tls": {
    "version": "TLS 1.3",
    "cipher": "TLS_AES_128_GCM_SHA256",
    "verified": "mta-sts"
  },
  "reply": {
    "code": 451,
    "enhanced": "4.7.1",
    "text": "later"
  },
  "category": "greylisting",
  "attempt": 2,
  "next_attempt": "2026-03-01T13:00:00Z",
  "reason": "greylisted",
  "url": "https://example.com/",
  "machine": "prefetch",
  "rate": {
    "of": "bounces",
    "level": "campaign",
    "count": 120,
    "sample": 1000,
    "percent": 12,
    "threshold": 10,
    "window": 3600,
    "action": "hold",
    "hold": "h",
    "until": "2026-03-01T14:00:00Z"
  }
}`

func full() event.Event {
	return event.Event{
		ID: "m-3-2-deferred", Type: event.Deferred, Time: time.Date(2026, 3, 1, 12, 30, 0, 250e6, time.UTC),
		Tenant: "acme", Stream: "marketing", Campaign: "spring", Tags: []string{"a", "b"},
		Metadata: json.RawMessage(`{"order":17}`), Message: "m", Index: 3, Recipient: "reader@example.com",
		Site: "google", Source: "192.0.2.1", Host: "mx1.example.com",
		TLS:      &event.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: "mta-sts"},
		Reply:    &mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 1}, Text: "later"},
		Category: "greylisting", Attempt: 2, NextAttempt: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC),
		Reason: "greylisted", URL: "https://example.com/", Machine: "prefetch",
		Rate: &event.Rate{
			Of: "bounces", Level: "campaign", Count: 120, Sample: 1000, Percent: 12, Threshold: 10, Window: 3600,
			Action: "hold", Hold: "h", Until: time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC),
		},
	}
}

func TestShape(t *testing.T) {
	e := full()
	value := reflect.ValueOf(e)
	for i := range value.NumField() {
		if value.Field(i).IsZero() && value.Type().Field(i).Tag.Get("json") != "-" {
			t.Errorf("%s is not in the golden event", value.Type().Field(i).Name)
		}
	}
	got, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != golden {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
}

// What has no value is left out; what identifies the recipient never is.
func TestShapeOfNothing(t *testing.T) {
	got, err := json.Marshal(event.Event{Reply: &mail.Reply{Code: 421}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"","type":"","time":"0001-01-01T00:00:00Z","message":"","index":0,"reply":{"code":421}}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		e := full()
		e.Type = rapid.SampledFrom(types()).Draw(r, "type")
		e.Recipient = rapid.String().Draw(r, "recipient")
		e.Tags = rapid.SliceOfN(rapid.String(), 1, 4).Draw(r, "tags")
		e.Index = rapid.IntRange(0, 1<<31).Draw(r, "index")
		e.Attempt = rapid.IntRange(0, 100).Draw(r, "attempt")
		e.Time = time.Unix(rapid.Int64Range(0, 1<<33).Draw(r, "second"), rapid.Int64Range(0, 999999999).Draw(r, "nanosecond")).UTC()
		e.Reply.Text = rapid.String().Draw(r, "text")
		if rapid.Bool().Draw(r, "sparse") {
			e.Reply, e.Metadata, e.NextAttempt = nil, nil, time.Time{}
		}
		raw, err := json.Marshal(e)
		if err != nil {
			r.Fatal(err)
		}
		var got event.Event
		if err := json.Unmarshal(raw, &got); err != nil {
			r.Fatal(err)
		}
		if !reflect.DeepEqual(got, e) {
			r.Fatalf("got %+v, want %+v", got, e)
		}
	})
}

func page(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "docs", "events.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The page documents exactly the fields there are.
func TestPageDocumentsEveryField(t *testing.T) {
	var documented, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(page(t), -1) {
		documented = append(documented, m[1])
	}
	shape := reflect.TypeFor[event.Event]()
	for i := range shape.NumField() {
		name, _, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
		if name != "-" {
			want = append(want, name)
		}
	}
	if !slices.Equal(documented, want) {
		t.Errorf("documented are %q, want %q", documented, want)
	}
}

// The page has an example of every type, each as the daemon would write it.
func TestPageExamples(t *testing.T) {
	examples := regexp.MustCompile("(?s)### ([a-z_]+)\n[^#]*?```json\n(.*?)\n```").FindAllStringSubmatch(page(t), -1)
	var seen []event.Type
	for _, example := range examples {
		decoder := json.NewDecoder(strings.NewReader(example[2]))
		decoder.DisallowUnknownFields()
		var e event.Event
		if err := decoder.Decode(&e); err != nil {
			t.Errorf("%s: %v", example[1], err)
			continue
		}
		if string(e.Type) != example[1] {
			t.Errorf("under %s is an example of %s", example[1], e.Type)
		}
		if _, err := mail.ParseAddress(e.Recipient); err != nil && e.Type != event.RateExceeded {
			t.Errorf("%s: %v", example[1], err)
		}
		var again bytes.Buffer
		encoder := json.NewEncoder(&again)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(again.String()); got != example[2] {
			t.Errorf("%s: written as\n%s\nnot\n%s", example[1], got, example[2])
		}
		seen = append(seen, e.Type)
	}
	slices.Sort(seen)
	want := types()
	slices.Sort(want)
	if !slices.Equal(seen, want) {
		t.Errorf("examples of %q, want one of each of %q", seen, want)
	}
}
