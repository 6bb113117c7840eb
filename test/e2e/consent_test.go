package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// TestReaderRefusesToBeMeasured does what a reader does who finds the page of
// choices: links in mail that they have lead on and leave nothing, over a
// restart too, further mail has none, and another reader is measured as before.
func TestReaderRefusesToBeMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{})
	const form, marketing = "application/x-www-form-urlencoded", "X-Postrider-Stream: marketing"
	get := func(reader string) []byte {
		t.Helper()
		before := len(mx.Messages())
		w.awaitEvent(w.hand(page(marketing), reader), event.Delivered)
		return mx.Messages()[before].Data
	}
	click := func(message []byte) {
		t.Helper()
		if response, _ := w.ask(http.MethodGet, find(t, link, message), "", ""); response.StatusCode != http.StatusFound || response.Header.Get("Location") != target {
			t.Errorf("%s to %q", response.Status, response.Header.Get("Location"))
		}
	}
	jane, joe := get("jane@reader.example"), get("joe@reader.example")
	choices := strings.Replace(find(t, unsubscribeLink, jane), "/u/", "/p/", 1)
	if response, body := w.ask(http.MethodPost, choices, form, "choice=unmeasure"); response.StatusCode != http.StatusOK || !strings.Contains(body, `role="status"`) {
		t.Fatalf("%s\n%s", response.Status, body)
	}
	click(jane)
	w.ask(http.MethodGet, find(t, pixel, jane), "", "")
	w.daemon.Kill()
	w.restart()
	click(jane)
	click(joe)
	w.await("the other reader's click is recorded", func() bool { return w.kinds()[event.Clicked] == 1 })
	for _, e := range w.events() {
		if (e.Type == event.Clicked || e.Type == event.Opened) && e.Recipient != "joe@reader.example" {
			t.Errorf("recorded %+v", e)
		}
	}
	if later := get("jane@reader.example"); link.Match(later) && strings.Contains(find(t, link, later), "/c/") || pixel.Match(later) || !unsubscribeLink.Match(later) {
		t.Errorf("the next message:\n%s", later)
	}
	if out := w.run("consent", "check", "jane@reader.example"); !strings.Contains(out, "allowed at most: none") || !strings.Contains(out, "by the reader") {
		t.Errorf("%s", out)
	}
	if response, _ := w.ask(http.MethodPost, choices, form, "choice=measure"); response.StatusCode != http.StatusOK {
		t.Errorf("%s", response.Status)
	}
	click(jane)
	w.await("the click is recorded again", func() bool { return w.kinds()[event.Clicked] == 2 })
}

// TestAggregateNamesNobody proves over the whole way that what is kept of
// aggregate mail is counts alone, and that its readers have the same links.
func TestAggregateNamesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{})
	id := w.hand(page("X-Postrider-Stream: marketing", "X-Postrider-Campaign: spring", "X-Postrider-Measure: aggregate"), "a@reader.example", "b@reader.example")
	w.settled()
	messages := mx.Messages()
	if len(messages) != 2 || find(t, link, messages[0].Data) != find(t, link, messages[1].Data) || find(t, pixel, messages[0].Data) != find(t, pixel, messages[1].Data) {
		t.Fatalf("%d messages, or other links for another reader", len(messages))
	}
	for _, m := range messages {
		w.ask(http.MethodGet, find(t, link, m.Data), "", "")
		w.ask(http.MethodGet, find(t, pixel, m.Data), "", "")
	}
	w.await("the hits are recorded", func() bool { k := w.kinds(); return k[event.Clicked] == 2 && k[event.Opened] == 2 })
	for _, e := range w.events() {
		if e.Type != event.Clicked && e.Type != event.Opened {
			continue
		}
		if e.Campaign != "spring" || e.Stream != "marketing" || e.Tenant != "default" || e.Message != "" || e.Recipient != "" || e.Time.Hour()+e.Time.Minute()+e.Time.Nanosecond() != 0 {
			t.Errorf("recorded %+v of message %s", e, id)
		}
	}
}
