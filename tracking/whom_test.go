package tracking_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// openings stands for what keeps the days of last openings.
type openings struct {
	mutex sync.Mutex
	of    []token.Person
}

func (o *openings) NoteOpen(person token.Person, _ time.Time) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.of = append(o.of, person)
}

// recent is the id of a message accepted now.
func recent() [12]byte {
	id := message()
	ms := time.Now().UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

func whomOptions(t *testing.T, l tracking.Links, index uint32, whom tracking.Whom) tracking.RenderOptions {
	t.Helper()
	return tracking.RenderOptions{
		Links: l, Message: recent(), Index: index, Tenant: "shop", Stream: "marketing", Address: address(t), Whom: whom,
		Opens: true, Clicks: !whom.LastOpen,
	}
}

const offer = "From: a@shop.example\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" +
	"<body><a href=\"https://shop.example/offers/4711aa22bb33cc44?who=jane@example.com#x\">x</a></body>\r\n"

// TestCountedHits proves that the links of all recipients are the same, and that
// what is recorded of a hit leads to no message, no recipient, no time of day and
// nothing in a target that may be one reader's.
func TestCountedHits(t *testing.T) {
	s := startWith(t, func(o *tracking.Options) {
		o.RecordFor = 48 * time.Hour
		o.CleanURL = func(string) string { return "https://shop.example/offers/*" }
	})
	whom := tracking.Whom{Counted: true, Campaign: "spring"}
	out, rendered, err := tracking.Render([]byte(offer), whomOptions(t, s.links, 0, whom))
	if err != nil || rendered.Links != 1 || !rendered.Pixel {
		t.Fatalf("%+v, %v", rendered, err)
	}
	if other, _, _ := tracking.Render([]byte(offer), whomOptions(t, s.links, 7, whom)); string(other) != string(out) {
		t.Error("another recipient has other links")
	}
	for url := range strings.SplitSeq(string(out), `"`) {
		if !strings.HasPrefix(url, "http") {
			continue
		}
		got := s.do(t, http.MethodGet, url, "", "")
		if got.StatusCode == http.StatusFound && got.Header.Get("Location") != "https://shop.example/offers/4711aa22bb33cc44?who=jane@example.com#x" {
			t.Errorf("leads to %s", got.Header.Get("Location"))
		}
	}
	events := s.events(t)
	if len(events) != 2 {
		t.Fatalf("%+v", events)
	}
	for _, e := range events {
		want := event.Event{
			ID: e.ID, Type: e.Type, Time: time.Now().UTC().Truncate(24 * time.Hour), Tenant: "shop", Stream: "marketing", Campaign: "spring",
		}
		if e.Type == event.Clicked {
			want.URL = "https://shop.example/offers/*"
		}
		got, _ := e.AppendJSON(nil)
		expected, _ := want.AppendJSON(nil)
		if string(got) != string(expected) || e.Person != (event.Person{}) {
			t.Errorf("recorded %s, want %s", got, expected)
		}
	}
}

// TestHygiene proves that a hygiene message has no tracked link, and that its
// pixel leaves no event.
func TestHygiene(t *testing.T) {
	var noted openings
	s := startWith(t, func(o *tracking.Options) { o.Openings = &noted })
	reader := token.Person{1, 2, 3}
	options := whomOptions(t, s.links, 0, tracking.Whom{Person: reader, LastOpen: true})
	url := must(t)(options.PixelURL())
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		if got := s.do(t, method, url, "", ""); got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "image/gif" {
			t.Errorf("%s: %v", method, got.Response)
		}
	}
	if o, err := tracking.OpenURL(keyring(t), url); err != nil || o.Measure != "hygiene" || o.Message != [12]byte{} || o.Accepted.After(time.Now()) {
		t.Errorf("%+v, %v", o, err)
	}
	if events := s.events(t); len(events) != 0 {
		t.Errorf("%+v", events)
	}
	if len(noted.of) != 1 || noted.of[0] != reader {
		t.Errorf("noted %v", noted.of)
	}
}

// TestCountedHitsOfMany proves that clicks of which nobody knows whose they are
// are not taken for one machine's.
func TestCountedHitsOfMany(t *testing.T) {
	s := startWith(t, nil)
	options := whomOptions(t, s.links, 0, tracking.Whom{Counted: true, Campaign: "spring"})
	var many strings.Builder
	for i := range 6 {
		fmt.Fprintf(&many, `<a href="https://shop.example/%d">%d</a>%s`, i, i, "\r\n")
	}
	out, _, err := tracking.Render([]byte(strings.Replace(offer, "</body>", many.String()+"</body>", 1)), options)
	if err != nil {
		t.Fatal(err)
	}
	for url := range strings.SplitSeq(string(out), `"`) {
		if strings.HasPrefix(url, "http") {
			s.do(t, http.MethodGet, url, "", "")
		}
	}
	events := s.events(t)
	if len(events) < 6 {
		t.Fatalf("%d events: the test proves nothing", len(events))
	}
	for _, e := range events {
		if e.Machine != "" {
			t.Errorf("%s of %s is a machine's: %s", e.Type, e.URL, e.Machine)
		}
	}
}

// TestHygieneOfPeopleAlone proves that no machine's opening counts as a
// person's, and none of a reader who asks not to be tracked.
func TestHygieneOfPeopleAlone(t *testing.T) {
	var noted openings
	s := startWith(t, func(o *tracking.Options) { o.Openings = &noted })
	url := must(t)(whomOptions(t, s.links, 0, tracking.Whom{Person: token.Person{1}, LastOpen: true}).PixelURL())
	for name, value := range map[string]string{"User-Agent": "Mozilla/5.0", "Sec-GPC": "1", "Purpose": "prefetch"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User-Agent", firefox)
		r.Header.Set(name, value)
		answer, err := s.client.Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", name, answer, err)
		}
		answer.Body.Close()
	}
	s.events(t)
	if len(noted.of) != 0 {
		t.Errorf("noted %v", noted.of)
	}
}

// TestOldCounted proves that hits of old mail are recorded no more, of whatever
// kind.
func TestOldCounted(t *testing.T) {
	var noted openings
	s := startWith(t, func(o *tracking.Options) { o.RecordFor, o.Openings = time.Hour, &noted })
	for _, whom := range []tracking.Whom{{Counted: true}, {Person: token.Person{1}, LastOpen: true}, {Person: token.Person{1}}} {
		options := whomOptions(t, s.links, 0, whom)
		options.Message = message() // of 1970
		if got := s.do(t, http.MethodGet, must(t)(options.PixelURL()), "", ""); got.StatusCode != http.StatusOK {
			t.Errorf("%+v: %v", whom, got.Status)
		}
	}
	if events := s.events(t); len(events)+len(noted.of) != 0 {
		t.Errorf("%+v, %v", events, noted.of)
	}
}
