package stats

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
)

func spring() names { return names{"shop", "marketing", "spring"} }

// TestMasks holds what is shown of small counts and of what surrounds them.
func TestMasks(t *testing.T) {
	type shown map[string]string
	for name, test := range map[string]struct {
		tell  func(*story)
		query Query
		want  shown
	}{
		"a small campaign is hidden, and the sum tells the rest": {
			func(s *story) {
				s.campaign(spring(), 1, 100, 60)
				s.campaign(names{"shop", "marketing", "fall"}, 1, 50, 4)
			},
			Query{Group: ByCampaign},
			shown{"spring": "60", "fall": "<10", "": "60+"},
		},
		"two that cover each other leave the sum exact": {
			func(s *story) {
				s.campaign(spring(), 1, 100, 60)
				s.campaign(names{"shop", "marketing", "fall"}, 1, 50, 4)
				s.campaign(names{"shop", "marketing", "winter"}, 1, 50, 7)
			},
			Query{Group: ByCampaign},
			shown{"spring": "60", "fall": "<10", "winter": "<10", "": "71"},
		},
		"of few readers a zero is hidden too": {
			func(s *story) { s.campaign(spring(), 1, 3) },
			Query{Group: ByCampaign},
			shown{"spring": "<10", "": "<10"},
		},
		"of many it is shown": {
			func(s *story) { s.campaign(spring(), 1, 30) },
			Query{Group: ByCampaign},
			shown{"spring": "0", "": "0"},
		},
		"a small day takes the next smallest with it": {
			func(s *story) { s.campaign(spring(), 1, 100, 60, 30, 5) },
			Query{Group: ByDay, Campaign: "spring"},
			shown{"2026-03-01": "60", "2026-03-02": "*", "2026-03-03": "<10", "": "95"},
		},
		"small days that cover each other need no other": {
			func(s *story) { s.campaign(spring(), 1, 100, 60, 30, 5, 6) },
			Query{Group: ByDay},
			shown{"2026-03-01": "60", "2026-03-02": "30", "2026-03-03": "<10", "2026-03-04": "<10", "": "101"},
		},
		"days that part what is hidden have no sum": {
			func(s *story) { s.campaign(spring(), 1, 100, 60, 30, 5) },
			Query{Group: ByDay, To: noon(2)},
			shown{"2026-03-01": "60", "2026-03-02": "*", "": "60+"},
		},
		"nor have campaigns over such days": {
			func(s *story) { s.campaign(spring(), 1, 100, 60, 30, 5) },
			Query{Group: ByCampaign, To: noon(2)},
			shown{"spring": "60+", "": "60+"},
		},
		"a stream's day does not give a campaign's away": {
			func(s *story) {
				s.campaign(spring(), 1, 100, 60, 30, 5)
				s.campaign(names{"shop", "marketing", "fall"}, 1, 100, 50, 40, 20)
			},
			Query{Group: ByDay},
			shown{"2026-03-01": "110", "2026-03-02": "40+", "2026-03-03": "20+", "": "205"},
		},
		"a tenant does not give a stream away": {
			func(s *story) {
				s.campaign(spring(), 1, 100, 60)
				s.campaign(names{"shop", "transactional", ""}, 1, 100, 3)
				s.campaign(names{"bank", "transactional", ""}, 1, 100, 40)
			},
			Query{Group: ByTenant},
			shown{"shop": "60+", "bank": "40", "": "100+"},
		},
	} {
		var s story
		test.tell(&s)
		to := openTest(t, Options{MaskBelow: 10})
		s.tell(t, to)
		report := ask(t, to, test.query)
		got := shown{"": report.Total.Opens.Human.String()}
		for _, row := range report.Rows {
			name := row.Campaign + row.Day
			if test.query.Group == ByTenant {
				name = row.Tenant
			}
			got[name] = row.Opens.Human.String()
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// TestNothingIsFoundBySubtraction looks at every table of one axis and every
// stretch of days, as somebody would who subtracts what is told from a told sum:
// what is left over is nothing, or of at least two and not small.
func TestNothingIsFoundBySubtraction(t *testing.T) {
	const threshold = 10
	dir := folder(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		s, err := Open(Options{Path: filepath.Join(dir, fmt.Sprint(run, ".db")), MaskBelow: threshold})
		if err != nil {
			r.Fatal(err)
		}
		defer s.Close()
		var told story
		for n := range rapid.IntRange(1, 5).Draw(r, "campaigns") {
			var openers []int
			for range rapid.IntRange(0, 5).Draw(r, "days") {
				openers = append(openers, rapid.SampledFrom([]int{0, 1, 5, 9, 10, 11, 30}).Draw(r, "openers"))
			}
			told.campaign(names{
				rapid.SampledFrom([]string{"shop", "bank"}).Draw(r, "tenant"),
				rapid.SampledFrom([]string{"marketing", "transactional"}).Draw(r, "stream"), fmt.Sprint("c", n),
			}, rapid.IntRange(1, 3).Draw(r, "first"), rapid.SampledFrom([]int{1, 40, 100}).Draw(r, "recipients"), openers...)
		}
		if err := s.count(told.records); err != nil {
			r.Fatal(err)
		}
		for range 10 {
			q := Query{
				Group:    rapid.SampledFrom([]Group{ByTenant, ByStream, ByCampaign, ByDay}).Draw(r, "group"),
				Tenant:   rapid.SampledFrom([]string{"", "", "shop"}).Draw(r, "of"),
				Stream:   rapid.SampledFrom([]string{"", "", "marketing"}).Draw(r, "of"),
				Campaign: rapid.SampledFrom([]string{"", "", "c0", "c1"}).Draw(r, "of"),
			}
			if from := rapid.IntRange(0, 7).Draw(r, "from"); from > 0 {
				q.From, q.To = noon(from), noon(rapid.IntRange(from, 8).Draw(r, "to"))
			}
			subtractAll(r, s, q, threshold)
		}
		stretches(r, s, threshold)
	})
}

func subtractAll(r *rapid.T, s *Store, q Query, threshold int64) {
	masked, err := s.Report(context.Background(), q)
	if err != nil {
		r.Fatal(err)
	}
	plain := &Store{db: s.db}
	exact, err := plain.Report(context.Background(), q)
	if err != nil {
		r.Fatal(err)
	}
	if len(masked.Rows) != len(exact.Rows) {
		r.Fatalf("%d rows of %d", len(masked.Rows), len(exact.Rows))
	}
	rest, hidden := masked.Total.Opens.Human.Count, 0
	for i, row := range masked.Rows {
		f, want := row.Opens.Human, exact.Rows[i].Opens.Human.Count
		switch {
		case f.Exact() && (f.Count != want || small(want, threshold)):
			r.Fatalf("%+v: row %d tells %d, it is %d", q, i, f.Count, want)
		case f.Below > 0 && want >= threshold, f.AtLeast && f.Count > want:
			r.Fatalf("%+v: row %d tells %s, it is %d", q, i, f, want)
		case !f.Exact():
			hidden++
		}
		rest -= f.Count // what is told of it at least
	}
	if !masked.Total.Opens.Human.Exact() || hidden == 0 {
		return
	}
	if hidden == 1 || rest < threshold {
		r.Fatalf("%+v: %d hidden rows are %d together\n%+v", q, hidden, rest, masked)
	}
}

// stretches compares all stretches of days with each other: two whose sums are
// told must not differ by a small count of days that are not told.
func stretches(r *rapid.T, s *Store, threshold int64) {
	for _, campaign := range []string{"", "c0"} {
		sums := map[[2]int]int64{}
		for from := 1; from < 8; from++ {
			for to := from; to < 8; to++ {
				report, err := s.Report(context.Background(), Query{Group: ByDay, Campaign: campaign, From: noon(from), To: noon(to)})
				if err != nil {
					r.Fatal(err)
				}
				if f := report.Total.Opens.Human; f.Exact() {
					sums[[2]int{from, to}] = f.Count
				}
			}
		}
		for longer, a := range sums {
			for shorter, b := range sums {
				same := longer[0] == shorter[0] && longer[1] > shorter[1] || longer[1] == shorter[1] && longer[0] < shorter[0]
				if same && small(a-b, threshold) {
					r.Fatalf("%q: days %v are %d and days %v are %d", campaign, longer, a, shorter, b)
				}
			}
		}
	}
}

// TestLinksOfFewAreNotNamed proves that a link has its text in the file, and in
// reports, once enough readers have followed it, and not before.
func TestLinksOfFewAreNotNamed(t *testing.T) {
	var s story
	s.campaign(spring(), 1, 100)
	id := s.records[0].Event.Message
	click := func(index int, url string) {
		s.add(event.Event{Type: event.Clicked, Time: noon(2), Tenant: "shop", Stream: "marketing", Campaign: "spring", Message: id, Index: index, URL: url})
	}
	for i := range 30 {
		click(i, "https://shop.example/spring?reader=17#top")
		click(i, "https://shop.example/spring?reader=18")
	}
	for i := range 9 {
		click(i, "https://shop.example/secret-offer")
		click(50, "https://shop.example/secret-offer") // one reader, again and again
	}
	click(3, "")
	to := openTest(t, Options{MaskBelow: 10})
	s.tell(t, to)
	report := ask(t, to, Query{Group: ByLink})
	got := fmt.Sprintf("%d %s %v %s %v", len(report.Rows), report.Rows[0].Link, report.Rows[0].Clicks, report.Rows[1].Link, report.Rows[1].Clicks)
	if got != "2 https://shop.example/spring {60 60 30} (other) {19 19 11}" {
		t.Error(got)
	}
	s = story{hits: 1000, records: s.records}
	click(51, "https://shop.example/secret-offer")
	s.tell(t, to)
	if report = ask(t, to, Query{Group: ByLink}); report.Rows[1].Link != otherName {
		t.Errorf("%d rows, %+v: it would leave a single click over", len(report.Rows), report.Rows[1])
	}
}
