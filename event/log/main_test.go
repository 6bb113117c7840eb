package log

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is an open log in a directory of its own, with what it logged.
type fixture struct {
	*Log
	dir  string
	said *bytes.Buffer
}

func openTest(t testing.TB, dir string, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{dir: dir, said: &bytes.Buffer{}}
	o := Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(f.said, nil))}
	for _, c := range change {
		c(&o)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Log = l
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) reopen(t *testing.T) *fixture {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, f.dir)
}

func (f *fixture) append(t testing.TB, records ...event.Record) {
	t.Helper()
	if err := f.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) read(t testing.TB, after uint64) []event.Record {
	t.Helper()
	records, err := f.Read(t.Context(), after, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// files returns the names in the directory.
func (f *fixture) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// day is noon of the nth day of a month that is over.
func noon(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

const tenant = "acme"

func messageID(n int) string { return "m" + strconv.Itoa(100000+n) }

// accepted is the accepted event of message n, to reader n, at a position.
func accepted(position uint64, n int, at time.Time) event.Record {
	return event.Record{Position: position, Event: event.Event{
		ID: messageID(n) + "-0-0-accepted", Type: event.Accepted, Time: at, Tenant: tenant, Stream: "marketing",
		Campaign: "spring", Tags: []string{"a", "b"}, Metadata: json.RawMessage(`{"order":"<17>"}`),
		Message: messageID(n), Recipient: reader(n),
	}}
}

func reader(n int) string { return "reader" + strconv.Itoa(n) + "@example.com" }

func subject(t *testing.T, address string) person.Subject {
	t.Helper()
	a, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return person.Subject{Tenant: tenant, Address: a}
}

// deferral is a deferred event of message n that tells the address in its
// reply.
func deferral(position uint64, n int, at time.Time) event.Record {
	r := accepted(position, n, at)
	r.Event.ID = messageID(n) + "-0-1-deferred"
	r.Event.Type = event.Deferred
	r.Event.Attempt = 1
	r.Event.Reason = "no room for " + reader(n)
	r.Event.Reply = &mail.Reply{Code: 452, Text: reader(n) + " is over quota"}
	return r
}

// click comes from the tracker, which knows no more than this.
func click(position uint64, n int, at time.Time) event.Record {
	return event.Record{Position: position, Event: event.Event{
		ID: "hit-" + strconv.FormatUint(position, 10), Type: event.Clicked, Time: at,
		Message: messageID(n), URL: "https://shop.example/?who=" + reader(n),
	}}
}

// damage overwrites a file's pages, header included or not.
func damage(t *testing.T, dir, file string, from int64) {
	t.Helper()
	path := filepath.Join(dir, file)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xdb}, int(info.Size()-from)), from); err != nil {
		t.Fatal(err)
	}
}
