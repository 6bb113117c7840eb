package tracking_test

import (
	"bytes"
	"context"
	"errors"
	"image/gif"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"
)

func TestClick(t *testing.T) {
	for target, want := range map[string]string{
		"https://example.com/a?b=c&d=%20#e":       "https://example.com/a?b=c&d=%20#e",
		"HTTP://Example.com":                      "HTTP://Example.com",
		"https://bücher.example/straße?ü=ö":       "https://xn--bcher-kva.example/stra%C3%9Fe?%C3%BC=%C3%B6",
		"https://bücher.example:8443/":            "https://xn--bcher-kva.example:8443/",
		"https://example.com/a b\"<>":             "https://example.com/a%20b%22%3C%3E",
		"https://example.com/\r\nSet-Cookie: a=b": "https://example.com/%0D%0ASet-Cookie:%20a=b",
		"https://[2001:db8::1]:8080/":             "https://[2001:db8::1]:8080/",
	} {
		t.Run(target, func(t *testing.T) {
			s := start(t)
			url := must(t)(s.links.ClickURL(message(), 5, target))
			got := s.do(t, "GET", url, "", "")
			if got.StatusCode != http.StatusFound || got.Header.Get("Location") != want || got.body != "" {
				t.Errorf("%d to %q, want %q", got.StatusCode, got.Header.Get("Location"), want)
			}
			checkHeaders(t, got)
			events := s.events(t)
			if len(events) != 1 {
				t.Fatalf("%d events", len(events))
			}
			e := events[0]
			if e.Type != event.Clicked || e.URL != target || e.Message != "041061050o3gg28a1c60" || e.Index != 5 || e.ID == "" || e.Time.IsZero() {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func checkHeaders(t *testing.T, r response) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%d: %s is %q, want %q", r.StatusCode, name, got, want)
		}
	}
	if policy := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
	if len(r.Cookies()) > 0 {
		t.Error("cookies")
	}
}

func TestPixel(t *testing.T) {
	s := start(t)
	got := s.do(t, "GET", must(t)(s.links.PixelURL(message(), 1)), "", "")
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "image/gif" || len(got.body) != 43 {
		t.Errorf("%d %s, %d octets", got.StatusCode, got.Header.Get("Content-Type"), len(got.body))
	}
	checkHeaders(t, got)
	image, err := gif.Decode(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, alpha := image.At(0, 0).RGBA(); alpha != 0 || image.Bounds().Dx() != 1 || image.Bounds().Dy() != 1 {
		t.Errorf("alpha %d, bounds %v", alpha, image.Bounds())
	}
	if e := s.events(t); len(e) != 1 || e[0].Type != event.Opened || e[0].Index != 1 {
		t.Errorf("events %+v", e)
	}
}

func TestHeadIsAMachines(t *testing.T) {
	s := start(t)
	click := s.do(t, "HEAD", must(t)(s.links.ClickURL(message(), 0, "https://example.com/")), "", "")
	if click.StatusCode != http.StatusFound || click.Header.Get("Location") != "https://example.com/" {
		t.Errorf("click: %d", click.StatusCode)
	}
	open := s.do(t, "HEAD", must(t)(s.links.PixelURL(message(), 0)), "", "")
	if open.StatusCode != http.StatusOK || open.Header.Get("Content-Length") != "43" {
		t.Errorf("pixel: %d", open.StatusCode)
	}
	page := s.do(t, "HEAD", unsubscribeURL(t, s), "", "")
	if page.StatusCode != http.StatusOK || page.body != "" {
		t.Errorf("page: %d", page.StatusCode)
	}
	e := s.events(t)
	if len(e) != 2 || e[0].Type != event.Clicked || e[0].Machine != "head" || e[1].Type != event.Opened || e[1].Machine != "head" {
		t.Errorf("events %+v", e)
	}
}

func TestForgedTokensLeadNowhere(t *testing.T) {
	s := start(t)
	click := must(t)(s.links.ClickURL(message(), 0, "https://example.com/"))
	_, sealed, _ := strings.Cut(click, "/c/")
	script, err := keyring(t).SealLink(token.Link{URL: "javascript:alert(1)"})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := keyring(t).SealLink(token.Link{URL: "https:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/", "/healthz", "/c", "/c/", "/c/" + sealed[:len(sealed)-1] + "!", "/c/" + strings.ToUpper(sealed), "/c/" + sealed + "/",
		"/c/https://evil.example/", "/o/" + sealed + ".gif", "/o/" + sealed, "/u/" + sealed, "/c/" + script, "/c/" + bare,
		"/c/" + strings.Repeat("A", 20000), "/C/" + sealed, "/robots.txt",
	} {
		got := s.do(t, "GET", s.base+path, "", "")
		if got.StatusCode != http.StatusNotFound || got.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", path, got.StatusCode, got.Header.Get("Location"))
		}
		checkHeaders(t, got)
	}
	if e := s.events(t); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

func TestMethods(t *testing.T) {
	s := start(t)
	click := must(t)(s.links.ClickURL(message(), 0, "https://example.com/"))
	for _, c := range []struct{ method, url, allow string }{
		{"POST", click, "GET, HEAD"},
		{"PUT", click, "GET, HEAD"},
		{"E", click, "GET, HEAD"},
		{"OPTIONS", must(t)(s.links.PixelURL(message(), 0)), "GET, HEAD"},
		{"DELETE", unsubscribeURL(t, s), "GET, HEAD, POST"},
	} {
		got := s.do(t, c.method, c.url, "", "")
		if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, allow %q", c.method, c.url, got.StatusCode, got.Header.Get("Allow"))
		}
		checkHeaders(t, got)
	}
	if e := s.events(t); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

func unsubscribeURL(t *testing.T, s *site) string {
	t.Helper()
	return must(t)(s.links.UnsubscribeURL(message(), 3, "acme", "marketing", address(t)))
}

const (
	form          = "application/x-www-form-urlencoded"
	multipartForm = "multipart/form-data; boundary=b"
	multipartBody = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n"
)

func TestOneClick(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body string }{
		"urlencoded":   {form, "List-Unsubscribe=One-Click"},
		"with charset": {form + "; charset=utf-8", "List-Unsubscribe=One-Click"},
		"multipart":    {multipartForm, multipartBody},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			url := unsubscribeURL(t, s)
			for range 2 {
				got := s.do(t, "POST", url, c.contentType, c.body)
				if got.StatusCode != http.StatusOK || got.Header.Get("Location") != "" {
					t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
				}
				checkHeaders(t, got)
			}
			if left := s.leavers(); len(left) != 2 || left[0] != "acme/marketing/jane@example.com/041061050o3gg28a1c60" {
				t.Errorf("left: %v", left)
			}
			events := s.events(t)
			if len(events) != 2 {
				t.Fatalf("%d events", len(events))
			}
			e := events[0]
			if e.Type != event.Unsubscribed || e.Tenant != "acme" || e.Stream != "marketing" || e.Recipient != "jane@example.com" || e.Index != 3 {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestUnsubscribeNeedsItsForm(t *testing.T) {
	s := start(t)
	url := unsubscribeURL(t, s)
	for name, c := range map[string]struct{ contentType, body string }{
		"empty":          {form, ""},
		"no type":        {"", "List-Unsubscribe=One-Click"},
		"JSON":           {"application/json", `{"List-Unsubscribe":"One-Click"}`},
		"another value":  {form, "List-Unsubscribe=No"},
		"huge":           {form, "a=" + strings.Repeat("x", 1<<20) + "&List-Unsubscribe=One-Click"},
		"torn multipart": {multipartForm, multipartBody[:40]},
	} {
		if got := s.do(t, "POST", url, c.contentType, c.body); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	if got := s.do(t, "POST", url+"?List-Unsubscribe=One-Click", form, ""); got.StatusCode != http.StatusBadRequest {
		t.Errorf("in the query: %d", got.StatusCode)
	}
	if left := s.leavers(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestUnsubscribePage does what a reader with a browser does.
func TestUnsubscribePage(t *testing.T) {
	s := start(t)
	url := unsubscribeURL(t, s)
	page := s.do(t, "GET", url, "", "")
	if page.StatusCode != http.StatusOK || page.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", page.StatusCode, page.Header.Get("Content-Type"))
	}
	checkHeaders(t, page)
	if len(s.leavers()) != 0 {
		t.Error("looking at the page unsubscribed")
	}
	if strings.Contains(page.body, "jane@") || !strings.Contains(page.body, "j***@example.com") {
		t.Error("the address is not masked")
	}
	method, fields := readForm(t, page.body)
	if method != "post" || fields != "List-Unsubscribe=One-Click" {
		t.Fatalf("form %s %s", method, fields)
	}
	done := s.do(t, "POST", url, form, fields)
	if done.StatusCode != http.StatusOK || !strings.Contains(done.body, "You are unsubscribed") {
		t.Errorf("%d %s", done.StatusCode, done.body)
	}
	if len(s.leavers()) != 1 {
		t.Error("the form did not unsubscribe")
	}
}

// readForm returns the method and the fields of the page's form, and holds that
// the page names its language and title and runs no script.
func readForm(t *testing.T, body string) (method, fields string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		seen[n.Data]++
		attributes := make(map[string]string)
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		switch n.Data {
		case "html":
			if attributes["lang"] == "" {
				t.Error("no language")
			}
		case "form":
			method = attributes["method"]
		case "input":
			fields += attributes["name"] + "=" + attributes["value"]
		}
	}
	for _, element := range []string{"title", "main", "h1", "button", "form"} {
		if seen[element] != 1 {
			t.Errorf("%d <%s>", seen[element], element)
		}
	}
	if seen["script"]+seen["img"]+seen["link"] > 0 {
		t.Error("the page loads something")
	}
	return method, fields
}

func TestUnsubscribeFails(t *testing.T) {
	s := start(t)
	s.setFail(errDisk)
	got := s.do(t, "POST", unsubscribeURL(t, s), form, "List-Unsubscribe=One-Click")
	if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "try again") || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if strings.Contains(got.body, errDisk.Error()) {
		t.Error("the cause shows")
	}
	s.setFail(nil)
	if e := s.events(t); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

func get(tracker *tracking.Tracker, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	tracker.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
	return w
}

func TestEventsAreRecordedWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		tracker := newTracker(t, s, func(o *tracking.Options) { o.Window = 3 * time.Second })
		url := must(t)(links(t, "https://t.example").PixelURL(message(), 0))
		for range 10 {
			get(tracker, url)
		}
		time.Sleep(3*time.Second - time.Nanosecond)
		synctest.Wait()
		if n := len(s.recorded()); n != 0 {
			t.Errorf("%d recorded before the window's end", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := len(s.recorded()); n != 10 || s.batches != 1 {
			t.Errorf("%d recorded in %d batches", n, s.batches)
		}
		shutdown(t, tracker)
	})
}

func shutdown(t *testing.T, tracker *tracking.Tracker) {
	t.Helper()
	if err := tracker.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestFullBatchesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		tracker := newTracker(t, s, func(o *tracking.Options) { o.Window = time.Hour })
		url := must(t)(links(t, "https://t.example").PixelURL(message(), 0))
		const batch = 10_000
		for range batch {
			get(tracker, url)
		}
		synctest.Wait()
		if n := len(s.recorded()); n != batch {
			t.Errorf("%d recorded", n)
		}
		shutdown(t, tracker)
	})
}

func TestRecordingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: errDisk}
		tracker := newTracker(t, s, nil)
		url := must(t)(links(t, "https://t.example").ClickURL(message(), 0, "https://example.com/"))
		for range 3 {
			if w := get(tracker, url); w.Code != http.StatusFound {
				t.Errorf("with a full disk: %d", w.Code)
			}
		}
		time.Sleep(time.Minute)
		s.setFail(nil)
		time.Sleep(time.Minute)
		events := s.recorded()
		if len(events) != 3 || s.batches < 3 {
			t.Errorf("%d events after %d attempts", len(events), s.batches)
		}
		ids := make(map[string]bool)
		for _, e := range events {
			ids[e.ID] = true
		}
		if len(ids) != 3 {
			t.Errorf("ids %v", ids)
		}
		shutdown(t, tracker)
	})
}

func TestShutdownFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		tracker := newTracker(t, s, func(o *tracking.Options) { o.Window = time.Hour })
		get(tracker, must(t)(links(t, "https://t.example").PixelURL(message(), 0)))
		shutdown(t, tracker)
		if n := len(s.recorded()); n != 1 {
			t.Errorf("%d recorded", n)
		}
		shutdown(t, tracker)
	})
}

func TestShutdownSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{fail: errDisk}
		tracker := newTracker(t, s, nil)
		get(tracker, must(t)(links(t, "https://t.example").PixelURL(message(), 0)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := tracker.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 tracking event") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAFullBufferDropsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{block: make(chan struct{})}
		var log bytes.Buffer
		registry := prometheus.NewRegistry()
		tracker := newTracker(t, s, func(o *tracking.Options) {
			o.Buffer = 5
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			o.Registerer = registry
		})
		url := must(t)(links(t, "https://t.example").ClickURL(message(), 0, "https://example.com/"))
		for i := range 8 {
			if i == 3 {
				time.Sleep(time.Second)
				synctest.Wait() // the first three are being written now
			}
			if w := get(tracker, url); w.Code != http.StatusFound {
				t.Errorf("click %d: %d", i, w.Code)
			}
		}
		if n := strings.Count(log.String(), "dropped"); n != 1 {
			t.Errorf("said %d times: %s", n, log.String())
		}
		if got := counter(t, registry, "postrider_tracking_events_dropped_total"); got != 3 {
			t.Errorf("%v dropped", got)
		}
		close(s.block)
		shutdown(t, tracker)
		if n := len(s.recorded()); n != 5 {
			t.Errorf("%d recorded", n)
		}
		if got := counter(t, registry, "postrider_tracking_events_recorded_total"); got != 5 {
			t.Errorf("%v recorded", got)
		}
	})
}

func counter(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestOptions(t *testing.T) {
	if _, err := tracking.New(tracking.Options{}); !errors.Is(err, tracking.ErrOptions) {
		t.Errorf("got %v", err)
	}
	registry := prometheus.NewRegistry()
	tracker := newTracker(t, &store{}, func(o *tracking.Options) { o.Registerer = registry })
	defer shutdown(t, tracker)
	s := &store{}
	if _, err := tracking.New(tracking.Options{Keys: keyring(t), Recorder: s, Unsubscriber: s, Registerer: registry}); err == nil {
		t.Error("metrics registered twice")
	}
}

func FuzzServe(f *testing.F) {
	s := &store{}
	tracker := newTracker(f, s, nil)
	f.Cleanup(func() { tracker.Shutdown(context.Background()) })
	l := links(f, "https://t.example")
	f.Add("GET", must(f)(l.ClickURL(message(), 0, "https://example.com/"))[len("https://t.example"):], "", "")
	f.Add("POST", must(f)(l.UnsubscribeURL(message(), 0, "a", "b", address(f)))[len("https://t.example"):], form, "List-Unsubscribe=One-Click")
	f.Add("POST", "/u/x", multipartForm, multipartBody)
	f.Add("HEAD", "/o/x.gif", "", "")
	f.Fuzz(func(t *testing.T, method, path, contentType, body string) {
		r := httptest.NewRequest("GET", "/", io.NopCloser(strings.NewReader(body)))
		r.Method, r.URL.Path = method, path
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		tracker.ServeHTTP(w, r)
		if target := w.Header().Get("Location"); target != "" && target != "https://example.com/" {
			t.Fatalf("redirected to %q", target)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Fatal("cacheable")
		}
	})
}
