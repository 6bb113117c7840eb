package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

var _ Source = (*eventlog.Log)(nil)

// TestRunFollowsALog proves that Run counts what is there and what comes, each
// event once, also behind a real log.
func TestRunFollowsALog(t *testing.T) {
	log, err := eventlog.Open(eventlog.Options{Dir: folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var s story
	s.campaign(spring(), 1, 700, 30, 20)
	path := filepath.Join(folder(t), "stats.db")
	for n := 0; n < len(s.records); n += 500 {
		batch := s.records[n:min(n+500, len(s.records))]
		if err := log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		to, err := Open(Options{Path: path, Pause: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- to.Run(ctx, log) }()
		for to.Figures().Position != batch[len(batch)-1].Position {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := errors.Join(<-ended, to.Close()); err != nil {
			t.Fatal(err)
		}
	}
	total := ask(t, openTest(t, Options{Path: path}), Query{Group: ByDay}).Total
	if total.Accepted != 700 || total.Opens.Raw.Count != 50 {
		t.Errorf("%+v", total)
	}
}

// TestRunInsists proves that what cannot be written now is counted later, and
// that Run ends with its context and with the log.
func TestRunInsists(t *testing.T) {
	path := filepath.Join(folder(t), "stats.db")
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		s, err := Open(Options{Path: path, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var told story
		told.campaign(spring(), 1, 10)
		log := &fakeLog{records: told.records, news: make(chan struct{})}
		good := log.records[0].Event.Time
		fault := s.db
		if err := fault.Close(); err != nil { // nothing can be written
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx, log) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := s.Figures().Failures; n < 3 || n > 5 || strings.Count(said.String(), "cannot be written") != 1 {
			t.Errorf("%d failures, log %s", n, &said)
		}
		s.counting.Lock()
		err = s.open()
		s.counting.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if f := s.Figures(); f.Counted != 20 || !strings.Contains(said.String(), "written again") {
			t.Errorf("%+v, log %s", f, &said)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		log.failure = io.ErrUnexpectedEOF
		if err := s.Run(t.Context(), log); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if report := ask(t, s, Query{Group: ByDay}); report.Rows[0].Accepted != 10 || !report.Until.Equal(good) {
			t.Errorf("%+v", report)
		}
	})
}

// TestAheadOfTheLog proves that statistics that are newer than the log say so.
func TestAheadOfTheLog(t *testing.T) {
	var said strings.Builder
	s := openTest(t, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	var told story
	told.campaign(spring(), 1, 10)
	told.tell(t, s)
	if err := s.Run(t.Context(), &fakeLog{records: told.records[:3]}); !errors.Is(err, errNoNews) || !strings.Contains(said.String(), "ahead of the event log") {
		t.Errorf("%v, log %s", err, &said)
	}
}

// TestExpiry proves that days and marks go by their own terms, and that sums
// stay the sums of what is there.
func TestExpiry(t *testing.T) {
	var told story
	told.campaign(spring(), 1, 40, 10, 10, 10)
	told.campaign(names{"shop", "marketing", "fall"}, 2, 30, 20)
	id := told.records[0].Event.Message
	for i := range 5 {
		told.add(event.Event{Type: event.Clicked, Time: noon(1 + i%2), Tenant: "shop", Stream: "marketing", Campaign: "spring", Message: id, Index: i, URL: "https://a.example/"})
	}
	s := openTest(t, Options{Keep: 10 * day24, UniqueFor: 20 * day24})
	told.tell(t, s)
	for _, step := range []struct {
		now                      time.Time
		removed, days, campaigns int
		marks                    bool
	}{
		{noon(5), 0, 3, 2, true}, {noon(12), 1, 2, 2, true}, {noon(13), 2, 1, 1, true}, {noon(14), 1, 0, 0, true}, {noon(23), 0, 0, 0, false},
	} {
		removed, err := s.expire(t.Context(), step.now)
		if err != nil || removed != step.removed {
			t.Errorf("%s: removed %d, %v", step.now, removed, err)
		}
		days, campaigns := ask(t, s, Query{Group: ByDay}), ask(t, s, Query{Group: ByCampaign})
		if len(days.Rows) != step.days || len(campaigns.Rows) != step.campaigns || fmt.Sprint(days.Total) != fmt.Sprint(campaigns.Total) {
			t.Errorf("%s: %d days, %d campaigns, sums\n%v\n%v", step.now, len(days.Rows), len(campaigns.Rows), days.Total, campaigns.Total)
		}
		if got := has(t, s, marksBucket); got != step.marks {
			t.Errorf("%s: marks %t", step.now, got)
		}
	}
	for _, bucket := range []string{campaignsBucket, tenantsBucket, daysBucket, linksBucket, clicksBucket} {
		if has(t, s, bucket) {
			t.Errorf("something is left in %s", bucket)
		}
	}
}

func has(t *testing.T, s *Store, bucket string) (some bool) {
	t.Helper()
	err := s.view(func(tx *bolt.Tx) error {
		key, _ := tx.Bucket([]byte(bucket)).Cursor().First()
		some = key != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return some
}

// TestNothingPersonal proves that no address, no text of a link that one reader
// alone was sent, and no metadata is in the file.
func TestNothingPersonal(t *testing.T) {
	s := openTest(t, Options{MaskBelow: 10})
	var told story
	told.campaign(spring(), 1, 30)
	id := told.records[0].Event.Message
	for i := range 30 {
		told.add(event.Event{
			Type: event.Clicked, Time: noon(2), Tenant: "shop", Stream: "marketing", Message: id, Index: i, Recipient: "jane.doe@example.net",
			URL: fmt.Sprintf("https://jane:doe@shop.example/for/jane-doe-%d?mail=jane.doe@example.net#jane.doe", i), Metadata: []byte(`{"name":"jane.doe"}`),
		})
	}
	told.tell(t, s)
	content, err := os.ReadFile(s.options.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"jane", "example.net"} {
		if strings.Contains(string(content), secret) {
			t.Errorf("%s is in the file", secret)
		}
	}
	address, err := mail.ParseAddress("jane.doe@example.net")
	if err != nil {
		t.Fatal(err)
	}
	subject := person.Subject{Tenant: "shop", Address: address}
	for _, holder := range []*Store{s, nil} {
		found, err := holder.Find(t.Context(), subject)
		changed, rectified := holder.Rectify(t.Context(), subject, address)
		erased, erase := holder.Erase(t.Context(), subject)
		_, expire := holder.Expire(t.Context(), noon(1))
		export := holder.Export(t.Context(), subject, func(person.Record) error { return errors.New("a record") })
		if err := errors.Join(err, rectified, erase, expire, export); err != nil || found+changed+erased > 0 || holder.HolderName() != "statistics" {
			t.Errorf("found %d, changed %d, erased %d, %v", found, changed, erased, err)
		}
	}
}

// TestDamaged proves that a damaged file is set aside and new statistics begun,
// and that one of a later version is left alone.
func TestDamaged(t *testing.T) {
	path := filepath.Join(folder(t), "stats.db")
	for n := 1; n <= 2; n++ {
		if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if f := s.Figures(); f.Position != 0 {
			t.Errorf("%+v", f)
		}
		err = s.update(func(tx *transaction) error {
			return tx.bucket(metaBucket).Put([]byte(formatKey), octets(format+1))
		})
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(fmt.Sprintf("%s.damaged-%d", path, n)); err != nil || string(content) != "not a database" {
			t.Errorf("set aside: %q, %v", content, err)
		}
		if _, err := Open(Options{Path: path}); err == nil || !strings.Contains(err.Error(), "of format 2") {
			t.Errorf("opened with %v", err)
		}
	}
}

func TestCleanURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://Shop.Example/Spring-2026/shoes.html":                     "https://shop.example/Spring-2026/shoes.html",
		"HTTPS://jane:x@shop.example:8443/a?b=c#d":                        "https://shop.example:8443/a",
		"https://shop.example":                                            "https://shop.example",
		"https://shop.example/u/jane%40example.net/x":                     "https://shop.example/u/*/x",
		"https://shop.example/u/jane@example.net":                         "https://shop.example/u/*",
		"https://shop.example/order/1234567":                              "https://shop.example/order/*",
		"https://shop.example/2026/03/12":                                 "https://shop.example/2026/03/12",
		"https://shop.example/c/6f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0":     "https://shop.example/c/*",
		"https://shop.example/t/05hlk4v0go2gd9m6k3sg":                     "https://shop.example/t/*",
		"https://shop.example/t/AbCdEfGhIjKlMnOpQr12345":                  "https://shop.example/t/*",
		"https://shop.example/the-very-long-title-of-a-page-written-2026": "https://shop.example/the-very-long-title-of-a-page-written-2026",
		"": "", "nonsense": "", "https://": "", "https://a b/": "", "%": "",
	} {
		if got := cleanURL(raw, false); got != want {
			t.Errorf("%s became %q, want %q", raw, got, want)
		}
	}
	if got := cleanURL("https://a.example/x?q=1&mail=j%40example.net&j@example.net=2#f", true); got != "https://a.example/x?q=1&mail=*&*" {
		t.Error(got)
	}
	if got := cleanURL("https://a.example/"+strings.Repeat("ab/", 1000), false); len(got) != maxURL {
		t.Error(len(got))
	}
}

// TestOddEvents proves that nothing an event can say stops the counting.
func TestOddEvents(t *testing.T) {
	s := openTest(t, Options{})
	long := strings.Repeat("x", 5000)
	var told story
	for _, e := range []event.Event{
		{Type: event.Opened, Message: "", Time: time.Time{}},
		{Type: event.Clicked, Message: strings.Repeat("z", 20), URL: long},
		{Type: event.Bounced, Tenant: long, Stream: long, Campaign: long + "1"},
		{Type: event.Accepted, Tenant: long, Stream: long, Campaign: long + "2"},
		{Type: "news", Tenant: "never"},
		{Type: event.Delivered, Time: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Type: event.Opened, Message: messageID(1, noon(1)), Index: 1 << 40, Time: noon(1)},
	} {
		told.add(e)
	}
	told.tell(t, s)
	report := ask(t, s, Query{Group: ByCampaign})
	if len(report.Rows) != 2 || report.Total.Opens.Raw.Count != 2 || report.Total.Opens.Unique.Count != 1 || report.Total.Bounces["unknown"] != 1 {
		t.Errorf("%+v", report)
	}
	if _, err := s.Report(t.Context(), Query{Group: "week"}); !errors.Is(err, ErrGroup) {
		t.Error(err)
	}
	if report := ask(t, s, Query{Group: ByCampaign, Limit: 1}); len(report.Rows) != 1 || report.More != 1 {
		t.Errorf("%+v", report)
	}
}
