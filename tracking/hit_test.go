package tracking_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// wire sends lines over a socket and returns the first one of the answer.
func (s *site) wire(t *testing.T, lines ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(append(lines, "Host: t.example", "Connection: close", "", ""), "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(answer), "\r\n")
	return first
}

// TestMachinesAreAnsweredAndMarked proves on the wire that every reader gets
// the same answer, that each hit is recorded once, and by whom.
func TestMachinesAreAnsweredAndMarked(t *testing.T) {
	s := start(t)
	click := strings.TrimPrefix(must(t)(s.links.ClickURL(message(), 0, "https://example.com/")), s.base)
	pixel := strings.TrimPrefix(must(t)(s.links.PixelURL(message(), 0)), s.base)
	const found, ok = "HTTP/1.1 302 Found", "HTTP/1.1 200 OK"
	var want []string
	for _, c := range []struct {
		answer, machine string
		lines           []string
	}{
		{found, "", []string{"GET " + click + " HTTP/1.1", "User-Agent: " + firefox, "Sec-Fetch-Mode: navigate"}},
		{found, "head", []string{"HEAD " + click + " HTTP/1.1", "User-Agent: " + firefox}},
		{found, "prefetch", []string{"GET " + click + " HTTP/1.1", "User-Agent: " + firefox, "sec-purpose: prefetch"}},
		{found, "prefetch", []string{"GET " + click + " HTTP/1.1", "User-Agent: " + firefox, "X-moz: prefetch"}},
		{found, "library", []string{"GET " + click + " HTTP/1.1", "User-Agent: python-requests/2.32.3"}},
		{found, "no-agent", []string{"GET " + click + " HTTP/1.1"}},
		{found, "script", []string{"GET " + click + " HTTP/1.1", "User-Agent: " + firefox, "sec-fetch-mode: cors"}},
		{ok, "", []string{"GET " + pixel + " HTTP/1.1", "User-Agent: Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}},
		{ok, "apple-privacy-proxy", []string{"GET " + pixel + " HTTP/1.1", "User-Agent: Mozilla/5.0"}},
		{ok, "head", []string{"HEAD " + pixel + " HTTP/1.1", "User-Agent: " + firefox}},
		{ok, "crawler", []string{"GET " + pixel + " HTTP/1.1", "User-Agent: Slack-ImgProxy (+https://api.slack.com/robots)"}},
	} {
		if got := s.wire(t, c.lines...); got != c.answer {
			t.Errorf("%q: %s", c.lines, got)
		}
		want = append(want, c.machine)
	}
	var got []string
	for _, e := range s.events(t) {
		got = append(got, e.Machine)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("machines %q, want %q", got, want)
	}
}

// TestSignals proves that who asks not to be tracked gets the same answer and
// is counted in a metric alone, and that the operator may record them.
func TestSignals(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		registry := prometheus.NewRegistry()
		s := startWith(t, func(o *tracking.Options) { o.Registerer, o.IgnoreSignals = registry, ignore })
		click := strings.TrimPrefix(must(t)(s.links.ClickURL(message(), 0, "https://example.com/")), s.base)
		pixel := strings.TrimPrefix(must(t)(s.links.PixelURL(message(), 0)), s.base)
		for _, field := range []string{"Sec-GPC: 1", "DNT: 1"} {
			if got := s.wire(t, "GET "+click+" HTTP/1.1", "User-Agent: "+firefox, field); got != "HTTP/1.1 302 Found" {
				t.Errorf("%s: %s", field, got)
			}
			if got := s.wire(t, "GET "+pixel+" HTTP/1.1", "User-Agent: "+firefox, field); got != "HTTP/1.1 200 OK" {
				t.Errorf("%s: %s", field, got)
			}
		}
		if got := s.wire(t, "GET "+click+" HTTP/1.1", "User-Agent: "+firefox, "Sec-GPC: 0"); got != "HTTP/1.1 302 Found" {
			t.Error(got)
		}
		recorded, counted := 1, 4
		if ignore {
			recorded, counted = 5, 0
		}
		if e := s.events(t); len(e) != recorded {
			t.Errorf("ignored %v: %d events, want %d", ignore, len(e), recorded)
		}
		want := fmt.Sprintf("# HELP postrider_tracking_opted_out_total Clicks and opens answered and not recorded, since the browser asked not to be tracked (Sec-GPC or DNT).\n"+
			"# TYPE postrider_tracking_opted_out_total counter\npostrider_tracking_opted_out_total %d\n", counted)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "postrider_tracking_opted_out_total"); err != nil {
			t.Error(err)
		}
	}
}

// TestOptedOutReadersCanUnsubscribe proves that a wish is obeyed and told of
// whatever the browser sends with it.
func TestOptedOutReadersCanUnsubscribe(t *testing.T) {
	s := start(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, unsubscribeURL(t, s), strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"DNT": "1", "Sec-GPC": "1", "User-Agent": "curl/8.5.0", "Content-Type": form} {
		r.Header.Set(name, value)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if len(s.leavers()) != 1 || answer.StatusCode != http.StatusOK {
		t.Errorf("%s; left: %v", answer.Status, s.leavers())
	}
	if e := s.events(t); len(e) != 1 || e[0].Type != event.Unsubscribed {
		t.Errorf("events %+v", e)
	}
}

// TestWindowMarksWhatWaits proves that the links of a burst are marked while
// they wait to be recorded, those that came first too, and so is what came
// before the daemon knew of the delivery.
func TestWindowMarksWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		classifier := hit.New(hit.Options{})
		tracker := newTracker(t, s, func(o *tracking.Options) { o.Window, o.Classifier = time.Second, classifier })
		ask := func(index uint32, target string) {
			r := httptest.NewRequest(http.MethodGet, must(t)(links(t, "https://t.example").ClickURL(message(), index, target)), nil)
			r.Header.Set("User-Agent", firefox)
			tracker.ServeHTTP(httptest.NewRecorder(), r)
		}
		for i := range 3 {
			ask(0, fmt.Sprintf("https://example.com/%d", i))
			time.Sleep(100 * time.Millisecond)
		}
		ask(1, "https://example.com/0")
		time.Sleep(100 * time.Millisecond)
		ask(2, "https://example.com/0")
		classifier.Delivered([]hit.Delivery{{Recipient: hit.Recipient{Message: message(), Index: 1}, Time: time.Now()}})
		time.Sleep(time.Second)
		var got []string
		for _, e := range s.recorded() {
			got = append(got, fmt.Sprint(e.Index, e.Machine))
		}
		if want := "[0burst 0burst 0burst 1too-soon 2]"; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		// What is on disk stays what it is: a burst over the window's end.
		ask(3, "https://example.com/0")
		time.Sleep(1100 * time.Millisecond)
		ask(3, "https://example.com/1")
		ask(3, "https://example.com/2")
		if err := tracker.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		got = nil
		for _, e := range s.recorded()[5:] {
			got = append(got, fmt.Sprint(e.Index, e.Machine))
		}
		if want := "[3 3burst 3burst]"; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	})
}
