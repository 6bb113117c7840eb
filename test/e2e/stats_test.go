package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// statistics asks until what was counted is as complete as it must be.
func (w *world) statistics(complete func(api.Stats) bool, arguments ...string) api.Stats {
	w.Helper()
	var answer api.Stats
	w.await("all is counted", func() bool {
		answer = api.Stats{}
		if err := json.Unmarshal([]byte(w.run(append([]string{"--json", "stats"}, arguments...)...)), &answer); err != nil {
			w.Fatal(err)
		}
		return complete(answer)
	})
	return answer
}

// tally counts events as people would.
type tally struct {
	api.StatsMail
	opens, clicks [3]int64
	unsubscribed  int64
}

func tallyOf(events []event.Event) tally {
	t := tally{StatsMail: api.StatsMail{Bounces: map[string]int64{}}}
	seen := map[string]bool{}
	hit := func(of *[3]int64, e event.Event) {
		of[0]++
		if e.Machine != "" {
			return
		}
		of[1]++
		if mark := fmt.Sprint(e.Type, e.Message, e.Index); !seen[mark] {
			seen[mark] = true
			of[2]++
		}
	}
	for _, e := range events {
		switch e.Type {
		case event.Accepted:
			t.Accepted++
		case event.Delivered:
			t.Sent++
			t.Delivered++
		case event.Bounced:
			t.Sent++
			t.Bounced++
			if e.Category == "" {
				e.Category = "unknown"
			}
			t.Bounces[e.Category]++
		case event.Opened:
			hit(&t.opens, e)
		case event.Clicked:
			hit(&t.clicks, e)
		case event.Unsubscribed:
			if mark := fmt.Sprint(e.Type, e.Message, e.Index); !seen[mark] {
				seen[mark] = true
				t.unsubscribed++
			}
		}
	}
	return t
}

func (t tally) compare(w *world, what string, row api.StatsRow) {
	w.Helper()
	if row.Mail == nil || row.Opens == nil || row.Unsubscribed == nil {
		w.Fatalf("%s: %+v", what, row)
	}
	if got, want := fmt.Sprint(*row.Mail), fmt.Sprint(t.StatsMail); got != want {
		w.Errorf("%s: mail %s, want %s", what, got, want)
	}
	for kind, pair := range map[string][2]any{
		"opens":  {[3]int64{row.Opens.Raw.Count, row.Opens.Human.Count, row.Opens.Unique.Count}, t.opens},
		"clicks": {[3]int64{row.Clicks.Raw.Count, row.Clicks.Human.Count, row.Clicks.Unique.Count}, t.clicks},
		"leaves": {row.Unsubscribed.Count, t.unsubscribed},
	} {
		if pair[0] != pair[1] {
			w.Errorf("%s: %s %v, want %v", what, kind, pair[0], pair[1])
		}
	}
}

func TestStatisticsAreThoseOfTheEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.domain("gone.example", testmx.Options{Rules: []testmx.Rule{{Command: testmx.RCPT, Action: testmx.Action{Reply: "550 5.1.1 no such user"}}}})
	w.start(settings{rest: "[statistics]\nmask_below = 0\n"})

	news := []string{"X-Postrider-Stream: marketing", "X-Postrider-Campaign: november"}
	for n := range 4 {
		w.awaitEvent(w.hand(page(news...), fmt.Sprintf("r%d@reader.example", n)), event.Delivered)
	}
	w.awaitEvent(w.hand(page(news...), "nobody@gone.example"), event.Bounced)
	w.awaitEvent(w.hand(letter("X-Postrider-Stream: transactional"), "r0@reader.example"), event.Delivered)
	f := forms(t)[0]
	for n, m := range mx.Messages() {
		if !bytes.Contains(m.Data, []byte("List-Unsubscribe")) {
			continue // the receipt
		}
		for range n + 1 {
			w.ask(http.MethodGet, find(t, pixel, m.Data), "", "")
		}
		if n > 0 {
			w.ask(http.MethodGet, find(t, link, m.Data), "", "")
		}
	}
	for range 2 { // a wish that is repeated is one
		w.ask(http.MethodPost, find(t, unsubscribeLink, mx.Messages()[1].Data), f.contentType, f.body)
	}
	w.await("all is recorded", func() bool {
		kinds := w.kinds()
		return kinds[event.Opened] == 10 && kinds[event.Clicked] == 3 && kinds[event.Unsubscribed] == 2
	})
	w.compareStatistics()
	w.daemon.Kill()
	w.restart()
	w.compareStatistics()
}

// compareStatistics holds each table against the events.
func (w *world) compareStatistics() {
	w.Helper()
	events := w.events()
	whole := tallyOf(events)
	last := events[len(events)-1].Time
	complete := func(s api.Stats) bool { return s.Until.Equal(last) }
	for _, by := range []string{"tenant", "stream", "campaign", "day"} {
		answer := w.statistics(complete, "--by", by)
		whole.compare(w, "total by "+by, answer.Total)
		for _, row := range answer.Rows {
			var of []event.Event
			for _, e := range events {
				if by == "tenant" || by == "day" && e.Time.UTC().Format("2006-01-02") == row.Day ||
					by == "stream" && e.Stream == row.Stream || by == "campaign" && e.Stream == row.Stream && e.Campaign == row.Campaign {
					of = append(of, e)
				}
			}
			tallyOf(of).compare(w, fmt.Sprint(by, " ", row.Day, row.Stream, row.Campaign), row)
		}
	}
	links := w.statistics(complete, "--by", "link", "--campaign", "november")
	want, _, _ := strings.Cut(target, "?")
	if len(links.Rows) != 1 || links.Rows[0].Link != want || links.Rows[0].Clicks.Raw.Count != whole.clicks[0] {
		w.Errorf("links %+v", links)
	}
}

func TestStatisticsHideTheFew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{})
	id := w.hand(page("X-Postrider-Stream: marketing", "X-Postrider-Campaign: november"), "r@reader.example")
	w.awaitEvent(id, event.Delivered)
	w.ask(http.MethodGet, find(t, link, mx.Messages()[0].Data), "", "")
	w.awaitEvent(id, event.Clicked)
	answer := w.statistics(func(s api.Stats) bool { return len(s.Rows) > 0 && s.Rows[0].Mail.Delivered == 1 })
	if row := answer.Rows[0]; row.Clicks.Raw.String() != "<10" || row.Opens.Unique.String() != "<10" || row.Mail.Accepted != 1 {
		t.Errorf("%+v", answer.Rows[0])
	}
	if text := w.run("stats", "--by", "link"); strings.Contains(text, "www.sender.example") {
		t.Errorf("a link of one reader is named:\n%s", text)
	}
}

// TestMachinesAreCountedApart proves over the real daemon that what filters and
// proxies do is in the events and in the raw counts, and in none of people's.
func TestMachinesAreCountedApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{tracking: "too_soon = \"1m\"\n", rest: "[statistics]\nmask_below = 0\n"})
	news := []string{"X-Postrider-Stream: marketing", "X-Postrider-Campaign: november"}
	w.awaitEvent(w.hand(page(news...), "r@reader.example"), event.Delivered)
	message := mx.Messages()[0].Data
	visit := func(method string, what *regexp.Regexp, fields ...string) {
		w.Helper()
		request, err := http.NewRequestWithContext(w.ctx, method, find(t, what, message), nil)
		if err != nil {
			w.Fatal(err)
		}
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			request.Header.Set(name, value)
		}
		response, err := harness.Browser().Do(request)
		if err != nil {
			w.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode >= http.StatusBadRequest {
			w.Errorf("%s %v: %s", method, fields, response.Status)
		}
	}
	visit(http.MethodGet, link) // a filter that calls itself Firefox, at once
	visit(http.MethodHead, link)
	visit(http.MethodGet, link, "User-Agent: Barracuda Sentinel (EE)")
	visit(http.MethodGet, link, "Sec-GPC: 1")
	visit(http.MethodGet, pixel, "User-Agent: Mozilla/5.0")
	visit(http.MethodGet, pixel, "DNT: 1")
	w.await("all is recorded", func() bool { return w.kinds()[event.Clicked] == 3 && w.kinds()[event.Opened] == 1 })
	var machines []string
	for _, e := range w.events() {
		if e.Type == event.Clicked || e.Type == event.Opened {
			machines = append(machines, e.Machine)
		}
	}
	slices.Sort(machines)
	if got, want := fmt.Sprint(machines), "[apple-privacy-proxy head scanner too-soon]"; got != want {
		w.Errorf("machines %s, want %s", got, want)
	}
	w.compareStatistics()
	if text := w.run("stats"); !strings.Contains(text, "opens: 1 in all, 0 by people; clicks: 3 in all, 0 by people") {
		w.Errorf("postrider stats says\n%s", text)
	}
	if text := w.run("stats", "--readers"); !regexp.MustCompile(`november +1 +0 +0 +1 +0 +0 +3 +0 +0\n`).MatchString(text) {
		w.Errorf("postrider stats --readers says\n%s", text)
	}
}
