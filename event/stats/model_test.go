package stats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
)

// model counts as naively as can be: it remembers all.
type model struct {
	days  map[string]*counters // by names and day
	links map[string]*clicks   // by names, day and link
	ids   map[string]bool
	once  map[string]bool
	// places are the links of each campaign, known those of each tenant.
	places map[string]map[string]bool
	known  map[string]map[string]bool
	unique time.Duration
	bound  Options
}

func newModel(o Options) *model {
	o.setDefaults()
	return &model{map[string]*counters{}, map[string]*clicks{}, map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}, o.UniqueFor, o}
}

// limited is a name, or the others', where there are as many as may be.
func limited(sets map[string]map[string]bool, of, name string, bound int) string {
	set := sets[of]
	if set == nil {
		set = map[string]bool{}
		sets[of] = set
	}
	if !set[name] && len(set) >= bound && name != otherName {
		name = otherName
	}
	return name
}

func (m *model) add(e *event.Event, messageAt time.Time) {
	if readerEvent(e.Type) {
		if m.ids[e.ID] {
			return
		}
		m.ids[e.ID] = true
	}
	of := e.Stream + "/" + e.Campaign
	if limited(m.known, e.Tenant, of, m.bound.Campaigns) == otherName {
		of = e.Stream + "/" + otherName
	}
	m.known[e.Tenant][of] = true
	of = e.Tenant + "/" + of
	key := of + " " + dayOf(e.Time).String()
	if m.days[key] == nil {
		m.days[key] = &counters{}
	}
	row := m.days[key]
	first := func(kind string) bool {
		mark := fmt.Sprint(e.Message, e.Index, kind)
		if e.Time.Sub(messageAt) > m.unique || m.once[mark] {
			return false
		}
		m.once[mark] = true
		return true
	}
	hit := func(raw int, kind string) {
		row.readers[raw]++
		if e.Machine == "" {
			row.readers[raw+1]++
			if first(kind) {
				row.readers[raw+2]++
			}
		}
	}
	switch e.Type {
	case event.Opened:
		hit(opensRaw, "o")
	case event.Clicked:
		hit(clicksRaw, "c")
		link := e.URL
		if link != "" {
			if link = limited(m.places, of, link, m.bound.Links); link != otherName {
				m.places[of][link] = true
			}
		}
		if link == otherName {
			link = ""
		}
		at := key + " " + link
		if m.links[at] == nil {
			m.links[at] = &clicks{}
		}
		m.links[at].raw++
		if e.Machine == "" {
			m.links[at].human++
			if first("l" + of + " " + link) {
				m.links[at].unique++
			}
		}
	case event.Unsubscribed:
		if first("u") {
			row.readers[unsubscribed]++
		}
	case event.Complained:
		if first("s") {
			row.readers[complained]++
		}
	default:
		addMail(e, row)
	}
}

// sum adds up the days of what key has in it.
func (m *model) sum(has func(key string) bool) counters {
	var c counters
	for key, row := range m.days {
		if has(key) {
			c.add(row, 1)
		}
	}
	return c
}

type world struct {
	records []event.Record
	// accepted is when each message was.
	accepted map[string]time.Time
}

func drawWorld(r *rapid.T) *world {
	w := &world{accepted: map[string]time.Time{}}
	var messages []event.Event
	for n := range rapid.IntRange(1, 6).Draw(r, "messages") {
		at := noon(rapid.IntRange(1, 4).Draw(r, "accepted"))
		messages = append(messages, event.Event{
			Message: messageID(n, at),
			Tenant:  rapid.SampledFrom([]string{"shop", "bank"}).Draw(r, "tenant"), Stream: rapid.SampledFrom([]string{"marketing", "x"}).Draw(r, "stream"),
			Campaign: rapid.SampledFrom([]string{"", "spring", "fall"}).Draw(r, "campaign"),
		})
		w.accepted[messages[n].Message] = at
	}
	kinds := []event.Type{
		event.Accepted, event.Delivered, event.Deferred, event.Bounced, event.Expired, event.Dropped,
		event.Opened, event.Opened, event.Clicked, event.Clicked, event.Clicked, event.Unsubscribed, event.Complained,
	}
	for n := range rapid.IntRange(0, 80).Draw(r, "events") {
		e := rapid.SampledFrom(messages).Draw(r, "message")
		e.ID, e.Type = fmt.Sprint("e", rapid.IntRange(0, 200).Draw(r, "id")), rapid.SampledFrom(kinds).Draw(r, "type")
		e.Time = noon(rapid.IntRange(1, 9).Draw(r, "day")).Add(time.Duration(rapid.IntRange(-12, 11).Draw(r, "hour")) * time.Hour)
		e.Index, e.Attempt = rapid.IntRange(0, 3).Draw(r, "index")*1000, rapid.IntRange(0, 2).Draw(r, "attempt")
		e.Category = rapid.SampledFrom([]string{"", "mailbox_full", "spam"}).Draw(r, "category")
		e.URL = rapid.SampledFrom([]string{"", "https://a.example/", "https://a.example/b", "https://c.example/x/y"}).Draw(r, "url")
		e.Machine = rapid.SampledFrom([]string{"", "", "prefetch"}).Draw(r, "machine")
		w.records = append(w.records, event.Record{Position: uint64(2*n + 1), Event: e})
	}
	return w
}

var errCrash = errors.New("crash")

// TestModel proves that whatever happens, in whatever batches, with the end of
// the process at any moment and batches handed over again, is counted as a model
// counts it that remembers everything.
func TestModel(t *testing.T) {
	dir := folder(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		o := Options{
			Path: filepath.Join(dir, fmt.Sprint(run, ".db")), Links: rapid.IntRange(1, 3).Draw(r, "links"),
			Campaigns: rapid.IntRange(2, 6).Draw(r, "campaigns"), UniqueFor: time.Duration(rapid.IntRange(1, 9).Draw(r, "unique")) * day24,
		}
		w, m := drawWorld(r), newModel(o)
		for i := range w.records {
			m.add(&w.records[i].Event, w.accepted[w.records[i].Event.Message])
		}
		s, err := Open(o)
		if err != nil {
			r.Fatal(err)
		}
		for done := 0; done < len(w.records); {
			back := max(0, done-rapid.IntRange(0, 5).Draw(r, "again"))
			ahead := min(len(w.records), done+rapid.IntRange(0, 30).Draw(r, "batch"))
			if rapid.IntRange(0, 3).Draw(r, "crash") == 0 {
				if err := s.failing(w.records[back:ahead]); !errors.Is(err, errCrash) {
					r.Fatal(err)
				}
			}
			cursor, recent := s.cursor.Load(), s.recent
			if err := s.count(w.records[back:ahead]); err != nil {
				r.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(r, "doubt") == 0 { // as after a commit that fails and is there all the same
				s.cursor.Store(cursor)
				s.recent = recent
				continue
			}
			done = ahead
			if rapid.IntRange(0, 3).Draw(r, "reopen") == 0 {
				if err := s.Close(); err != nil {
					r.Fatal(err)
				}
				if s, err = Open(o); err != nil {
					r.Fatal(err)
				}
			}
		}
		compareWithModel(r, s, m)
		if err := s.Close(); err != nil {
			r.Fatal(err)
		}
	})
}

// failing does all that count does until the moment before the commit.
func (s *Store) failing(records []event.Record) error {
	return s.update(func(t *transaction) error { return errors.Join(s.newBatch(t).write(records), errCrash) })
}

func compareWithModel(r *rapid.T, s *Store, m *model) {
	all := m.sum(func(string) bool { return true })
	for _, group := range []Group{ByTenant, ByStream, ByCampaign, ByDay} {
		report, err := s.Report(context.Background(), Query{Group: group})
		if err != nil {
			r.Fatal(err)
		}
		same(r, "total", report.Total, all)
		for _, row := range report.Rows {
			same(r, fmt.Sprint(row), row, m.sum(func(key string) bool {
				var name, d string
				if _, err := fmt.Sscanf(key, "%s %s", &name, &d); err != nil {
					r.Fatal(err)
				}
				switch group {
				case ByDay:
					return d == row.Day
				case ByTenant:
					return hasPrefix([]byte(name), []byte(row.Tenant+"/"))
				case ByStream:
					return hasPrefix([]byte(name), []byte(row.Tenant+"/"+row.Stream+"/"))
				}
				return name == row.Tenant+"/"+row.Stream+"/"+row.Campaign
			}))
		}
	}
	for from := 1; from < 9; from += 3 {
		report, err := s.Report(context.Background(), Query{Group: ByStream, From: noon(from), To: noon(from + 2)})
		if err != nil {
			r.Fatal(err)
		}
		same(r, "days", report.Total, m.sum(func(key string) bool {
			d := key[len(key)-2:]
			return d >= fmt.Sprintf("%02d", from) && d <= fmt.Sprintf("%02d", from+2)
		}))
	}
	compareLinks(r, s, m)
}

func compareLinks(r *rapid.T, s *Store, m *model) {
	want := map[string]clicks{}
	for at, c := range m.links {
		var name, d, link string
		if _, err := fmt.Sscanf(at+" .", "%s %s %s", &name, &d, &link); err != nil {
			r.Fatal(err)
		}
		if link == "." {
			link = otherName
		}
		sum := want[link]
		want[link] = clicks{sum.raw + c.raw, sum.human + c.human, sum.unique + c.unique}
	}
	report, err := s.Report(context.Background(), Query{Group: ByLink})
	if err != nil {
		r.Fatal(err)
	}
	got := map[string]clicks{}
	for _, row := range report.Rows {
		got[row.Link] = clicks{row.Clicks.Raw.Count, row.Clicks.Human.Count, row.Clicks.Unique.Count}
	}
	if !maps.Equal(got, want) {
		r.Fatalf("links %v, want %v", got, want)
	}
}

func same(r *rapid.T, what string, row Row, want counters) {
	var wanted Row
	wanted.setMail(&want)
	c := cell{total: want}
	wanted.setReaders(c.figures(0))
	row.Tenant, row.Stream, row.Campaign, row.Day, row.Link = "", "", "", "", ""
	if len(row.Bounces) == 0 {
		row.Bounces = nil
	}
	if !reflect.DeepEqual(row, wanted) {
		r.Fatalf("%s:\ngot  %+v\nwant %+v", what, row, wanted)
	}
}

// TestMarksModel proves the set of marks against a map, through splits and
// expiry.
func TestMarksModel(t *testing.T) {
	dir := folder(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		s, err := Open(Options{Path: filepath.Join(dir, fmt.Sprint(run, ".db"))})
		if err != nil {
			r.Fatal(err)
		}
		known := map[mark]bool{}
		for range rapid.IntRange(1, 6).Draw(r, "batches") {
			var added []mark
			for range rapid.IntRange(0, 400).Draw(r, "size") {
				var id [messageOctets]byte
				copy(id[:], []byte{0, 0, 0, byte(rapid.IntRange(0, 3).Draw(r, "time"))})
				id[9] = byte(rapid.IntRange(0, 9).Draw(r, "message"))
				added = append(added, newMark(id, uint16(rapid.IntRange(0, 700).Draw(r, "kind")/100), uint32(rapid.IntRange(0, 3000).Draw(r, "index"))))
			}
			added = sortedMarks(added)
			checkAdd(r, s, added, known)
		}
		var before mark
		before[3] = byte(rapid.IntRange(0, 4).Draw(r, "before"))
		if err := s.expireMarks(context.Background(), before); err != nil {
			r.Fatal(err)
		}
		maps.DeleteFunc(known, func(m mark, _ bool) bool { return compareMarks(m, before) < 0 })
		checkAdd(r, s, sortedMarks(nil), known)
		if err := s.Close(); err != nil {
			r.Fatal(err)
		}
	})
}
