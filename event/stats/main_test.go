package stats

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is one in memory where there is one: these tests sync a lot.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "stats")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// openTest opens statistics that are closed at the end of the test.
func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(folder(t), "stats.db")
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noon of a day of March 2026.
func noon(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

// messageID is the id of the nth message, accepted at a time.
func messageID(n int, at time.Time) string {
	var id [messageOctets]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	binary.BigEndian.PutUint32(id[8:], uint32(n)*2654435761)
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding).EncodeToString(id[:])
}

// story writes events one behind the other.
type story struct {
	records []event.Record
	hits    int
}

func (s *story) add(e event.Event) {
	s.hits++
	if e.ID == "" {
		e.ID = fmt.Sprintf("event-%d", s.hits)
	}
	if e.Attempt == 0 && e.Type != event.Accepted && !readerEvent(e.Type) {
		e.Attempt = 1
	}
	s.records = append(s.records, event.Record{Position: uint64(3 * (len(s.records) + 1)), Event: e})
}

// campaign has one message with so many recipients, delivered on a day, of whom
// the first so many open on the days that follow.
func (s *story) campaign(n names, first, recipients int, openers ...int) {
	id := messageID(len(s.records), noon(first))
	e := event.Event{Tenant: n.tenant, Stream: n.stream, Campaign: n.campaign, Message: id}
	for i := range recipients {
		e.Index = i
		for _, kind := range []event.Type{event.Accepted, event.Delivered} {
			e.Type, e.Time = kind, noon(first)
			s.add(e)
		}
	}
	reader := 0
	for d, count := range openers {
		for range count {
			e.Type, e.Time, e.Index = event.Opened, noon(first+d), reader%max(1, recipients)
			s.add(e)
			reader++
		}
	}
}

func (s *story) tell(t testing.TB, to *Store) {
	t.Helper()
	if err := to.count(s.records); err != nil {
		t.Fatal(err)
	}
}

func ask(t testing.TB, s *Store, q Query) *Report {
	t.Helper()
	report, err := s.Report(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// fakeLog is a log in memory.
type fakeLog struct {
	records []event.Record
	news    chan struct{}
	failure error
}

func (l *fakeLog) Position() (uint64, error) {
	if len(l.records) == 0 {
		return 0, l.failure
	}
	return l.records[len(l.records)-1].Position, l.failure
}

func (l *fakeLog) Read(_ context.Context, after uint64, limit int) ([]event.Record, error) {
	if l.failure != nil {
		return nil, l.failure
	}
	var found []event.Record
	for _, r := range l.records {
		if r.Position > after && len(found) < limit {
			found = append(found, r)
		}
	}
	return found, nil
}

var errNoNews = errors.New("no news")

func (l *fakeLog) Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error {
	records, err := l.Read(ctx, after, 500)
	switch {
	case err != nil:
		return err
	case len(records) > 0:
		return handle(records)
	case l.news == nil:
		return errNoNews
	}
	select {
	case <-l.news:
		return l.Follow(ctx, after, handle)
	case <-ctx.Done():
		return ctx.Err()
	}
}
