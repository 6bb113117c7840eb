package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// link is the tracked link of page, unsubscribeLink the one in its header.
var (
	link            = regexp.MustCompile(`<a href="([^"]+)">`)
	pixel           = regexp.MustCompile(`<img [^>]*src="([^"]+)"`)
	unsubscribeLink = regexp.MustCompile(`(?s)List-Unsubscribe:\s*<([^>]+)>`)
)

func find(t testing.TB, what *regexp.Regexp, message []byte) string {
	t.Helper()
	found := what.FindSubmatch(message)
	if found == nil {
		t.Fatalf("no %s in\n%s", what, message)
	}
	return html.UnescapeString(string(found[1]))
}

// ask sends a request as a browser does, and returns the answer with its body.
func (w *world) ask(method, url, contentType, body string) (*http.Response, string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.ctx, method, url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := harness.Browser().Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return response, string(content)
}

func TestSignatureCoversTheRewrittenMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{rest: w.signs("sender.example")})
	w.hand(page("X-Postrider-Stream: marketing"), "a@reader.example")
	w.settled()
	message := mx.Messages()[0].Data
	tracked := find(t, link, message)
	if !strings.HasPrefix(tracked, "http://"+w.tracker+"/c/") || bytes.Contains(message, []byte("www.sender.example")) {
		t.Fatalf("the link is not tracked:\n%s", message)
	}
	if good, bad, err := w.signatures("sender.example", message); good != 2 || bad != 0 {
		t.Errorf("%d good signatures, %d bad: %v", good, bad, err)
	}
	unfolded := strings.ToLower(strings.NewReplacer("\r\n ", "", "\r\n\t", "", " ", "").Replace(string(message)))
	for _, field := range []string{"list-unsubscribe", "list-unsubscribe-post", "from", "subject", "date", "message-id"} {
		if n := strings.Count(signedFields(unfolded), ":"+field+":"); n < 2 {
			t.Errorf("%s is signed %d times: neither it nor its repetition is safe", field, n)
		}
	}
	for what, changed := range map[string][]byte{
		"an octet of the link":  bytes.Replace(message, []byte("/c/"), []byte("/C/"), 1),
		"the unsubscribe link":  bytes.Replace(message, []byte("/u/"), []byte("/U/"), 1),
		"another unsubscribing": append([]byte("List-Unsubscribe: <http://other.example/>\r\n"), message...),
		"the link put back":     bytes.Replace(message, []byte(html.EscapeString(tracked)), []byte(target), 1),
	} {
		if good, bad, _ := w.signatures("sender.example", changed); good != 0 || bad != 2 {
			t.Errorf("%s: %d signatures still verify", what, good)
		}
	}
}

// signedFields is the first h= of an unfolded message with a colon around each
// name.
func signedFields(unfolded string) string {
	_, after, _ := strings.Cut(unfolded, ";h=")
	fields, _, _ := strings.Cut(after, ";")
	return ":" + strings.ReplaceAll(fields, ":", "::") + ":"
}

func TestTrackingIsAsMuchAsTheMessageAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{})
	for _, c := range []struct {
		header                     string
		opens, clicks, unsubscribe bool
	}{
		{"X-Postrider-Stream: transactional", false, false, false},
		{"X-Postrider-Stream: marketing", true, true, true},
		{"X-Postrider-Stream: marketing\r\nX-Postrider-Track: none", false, false, true},
		{"X-Postrider-Stream: marketing\r\nX-Postrider-Track: clicks", false, true, true},
		{"X-Postrider-Stream: transactional\r\nX-Postrider-Track: opens", true, false, false},
	} {
		before := len(mx.Messages())
		w.awaitEvent(w.hand(page(c.header), "reader@reader.example"), event.Delivered)
		message := mx.Messages()[before].Data
		opens, clicks := pixel.Match(message), !bytes.Contains(message, []byte(html.EscapeString(target))) && !bytes.Contains(message, []byte(target))
		if opens != c.opens || clicks != c.clicks || unsubscribeLink.Match(message) != c.unsubscribe {
			t.Errorf("%q became\n%s", c.header, message)
		}
	}
}

func TestPublishedKeysAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.signs("sender.example")
	file := w.write("keys.toml", w.configuration(settings{rest: keys}))
	out, err := harness.Run(w.ctx, suite.binary, "dkim", "check", "sender.example", "--config", file)
	if err != nil || strings.Count(out, ": ok\n") != 2 {
		t.Errorf("%v: %s", err, out)
	}
	w.dns.Remove("rsa._domainkey.sender.example")
	out, err = harness.Run(w.ctx, suite.binary, "dkim", "check", "sender.example", "--config", file)
	if status(err) != 1 || strings.Count(out, ": ok\n") != 1 || !strings.Contains(out, "publish: ") {
		t.Errorf("status %d: %s", status(err), out)
	}
}

// form is a one-click POST as mail programs send it (RFC 8058 section 3.2).
type form struct{ name, contentType, body string }

func forms(t testing.TB) []form {
	t.Helper()
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	if err := errors.Join(writer.WriteField("List-Unsubscribe", "One-Click"), writer.Close()); err != nil {
		t.Fatal(err)
	}
	return []form{
		{"urlencoded", "application/x-www-form-urlencoded", url.Values{"List-Unsubscribe": {"One-Click"}}.Encode()},
		{"multipart", writer.FormDataContentType(), body.String()},
	}
}

func TestUnsubscribeOvertakesQueuedMail(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			var closed atomic.Bool
			mx := w.domain("reader.example", testmx.Options{OnMessage: func(*testmx.Message) error {
				if closed.Load() {
					return errors.New("not now")
				}
				return nil
			}})
			w.start(settings{queue: "retry_first = \"1h\"\nretry_max = \"1h\"\n", rest: dropping})
			w.unsubscribeBehindTheQueue(f, mx, &closed)
		})
	}
}

// unsubscribeBehindTheQueue lets mail wait in both ways there are, has its
// reader leave, and then makes it due.
func (w *world) unsubscribeBehindTheQueue(f form, mx *testmx.Server, closed *atomic.Bool) {
	w.Helper()
	const reader, marketing = "leaver@reader.example", "X-Postrider-Stream: marketing"
	w.awaitEvent(w.hand(page(marketing), reader), event.Delivered)
	leave := find(w, unsubscribeLink, mx.Messages()[0].Data)
	if !bytes.Contains(mx.Messages()[0].Data, []byte("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")) {
		w.Error("no List-Unsubscribe-Post")
	}

	closed.Store(true)
	deferred := w.hand(page(marketing), reader)
	w.awaitEvent(deferred, event.Deferred)
	closed.Store(false)
	tomorrow := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
	held := w.hand(page(marketing, "X-Postrider-Send-At: "+tomorrow), reader)

	w.lookAround(leave)
	if _, answer := w.ask(http.MethodPost, leave, f.contentType, ""); strings.Contains(fmt.Sprint(w.kinds()), "unsubscribed") {
		w.Errorf("a POST without the form unsubscribes: %s", answer)
	}
	for range 2 { // mail programs repeat themselves
		if response, _ := w.ask(http.MethodPost, leave, f.contentType, f.body); response.StatusCode != http.StatusOK {
			w.Errorf("one-click POST: %s, Location %q", response.Status, response.Header.Get("Location"))
		}
	}
	late := w.hand(page(marketing), reader)
	receipt := w.hand(letter("X-Postrider-Stream: transactional"), reader)
	w.run("queue", "retry", "--recipient", reader)
	for _, id := range []string{deferred, held, late} {
		if e := w.awaitEvent(id, event.Dropped); !strings.Contains(e.Reason, "unsubscribed") || e.Recipient != reader {
			w.Errorf("dropped because of %q", e.Reason)
		}
	}
	w.awaitEvent(receipt, event.Delivered)
	w.settled()
	if n := len(mx.Messages()); n != 2 {
		w.Errorf("%d messages arrived instead of the first and the receipt", n)
	}
}

// dropping takes mail for whoever is suppressed, and tells of it by events.
const dropping = `
[[tenant]]
name = "default"
[[tenant.stream]]
name = "marketing"
suppressed = "drop"
[[tenant.stream]]
name = "transactional"
suppressed = "drop"
`

func TestUnsubscribeSurvivesAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{rest: dropping})
	const reader, marketing = "leaver@reader.example", "X-Postrider-Stream: marketing"
	w.awaitEvent(w.hand(page(marketing), reader), event.Delivered)
	f := forms(t)[0]
	response, _ := w.ask(http.MethodPost, find(t, unsubscribeLink, mx.Messages()[0].Data), f.contentType, f.body)
	w.daemon.Kill()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("one-click POST: %s", response.Status)
	}
	w.restart()
	w.awaitEvent(w.hand(page(marketing), reader), event.Dropped)
}

// kinds are the types of all events so far.
func (w *world) kinds() map[event.Type]int {
	w.Helper()
	kinds := map[event.Type]int{}
	for _, e := range w.events() {
		kinds[e.Type]++
	}
	return kinds
}

// lookAround does what scanners and the curious do with an unsubscribe link.
func (w *world) lookAround(leave string) {
	w.Helper()
	response, page := w.ask(http.MethodGet, leave, "", "")
	if response.StatusCode != http.StatusOK || !strings.Contains(page, "<form") || strings.Contains(page, "leaver@") {
		w.Errorf("the unsubscribe page: %s\n%s", response.Status, page)
	}
	if response, _ := w.ask(http.MethodHead, leave, "", ""); response.StatusCode != http.StatusOK {
		w.Errorf("HEAD: %s", response.Status)
	}
	if n := w.stored("leaver@reader.example", "suppressions"); n != 0 {
		w.Errorf("looking at the page made %d suppressions", n)
	}
}

func TestTrackerTellsWhatReadersDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	w.start(settings{})
	const reader = "curious@reader.example"
	id := w.hand(page("X-Postrider-Stream: marketing", "X-Postrider-Campaign: november", "X-Postrider-Tag: news",
		"X-Postrider-Tag: books", `X-Postrider-Metadata: {"issue": 11}`), reader)
	w.awaitEvent(id, event.Delivered)
	message := mx.Messages()[0].Data
	tracked, image := find(t, link, message), find(t, pixel, message)
	if bytes.Contains(message, []byte("X-Postrider")) || strings.Contains(tracked+image, "curious") {
		t.Errorf("what readers should not see:\n%s", message)
	}

	for what, forged := range forgeries(tracked) {
		if response, _ := w.ask(http.MethodGet, forged, "", ""); response.StatusCode != http.StatusNotFound || response.Header.Get("Location") != "" {
			t.Errorf("%s: %s to %q", what, response.Status, response.Header.Get("Location"))
		}
	}
	if response, _ := w.ask(http.MethodHead, tracked, "", ""); response.StatusCode != http.StatusFound || response.Header.Get("Location") != target {
		t.Errorf("HEAD: %s to %q", response.Status, response.Header.Get("Location"))
	}
	if response, _ := w.ask(http.MethodHead, image, "", ""); response.StatusCode != http.StatusOK {
		t.Errorf("HEAD of the pixel: %s", response.Status)
	}
	if response, _ := w.ask(http.MethodGet, tracked, "", ""); response.StatusCode != http.StatusFound || response.Header.Get("Location") != target {
		t.Errorf("GET: %s to %q", response.Status, response.Header.Get("Location"))
	}
	if response, body := w.ask(http.MethodGet, image, "", ""); response.Header.Get("Content-Type") != "image/gif" || !strings.HasPrefix(body, "GIF89a") {
		t.Errorf("pixel: %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	w.await("all is recorded", func() bool { return w.kinds()[event.Clicked] >= 2 && w.kinds()[event.Opened] >= 2 })
	people := map[event.Type]int{}
	for _, e := range w.events() {
		switch {
		case e.Type == event.Clicked:
			checkReading(t, e, id, reader, target)
		case e.Type == event.Opened:
			checkReading(t, e, id, reader, "")
		default:
			continue
		}
		switch e.Machine {
		case "":
			people[e.Type]++
		case "head":
		default:
			t.Errorf("machine %q", e.Machine)
		}
	}
	if kinds := w.kinds(); kinds[event.Clicked] != 2 || kinds[event.Opened] != 2 || people[event.Clicked] != 1 || people[event.Opened] != 1 {
		t.Errorf("one click and one opening by a person, and the same by HEAD, became %v, by people %v", kinds, people)
	}
}

// forgeries of a click's URL.
func forgeries(tracked string) map[string]string {
	last := tracked[len(tracked)-2]
	other := byte('A')
	if last == other {
		other = 'B'
	}
	return map[string]string{
		"an octet changed":  tracked[:len(tracked)-2] + string(other) + tracked[len(tracked)-1:],
		"cut short":         tracked[:len(tracked)-8],
		"of another kind":   strings.Replace(tracked, "/c/", "/u/", 1),
		"without a token":   tracked[:strings.Index(tracked, "/c/")+3],
		"an open redirect":  tracked[:strings.Index(tracked, "/c/")+3] + "https://evil.example/",
		"a target as query": tracked[:strings.Index(tracked, "/c/")+3] + "x?url=https://evil.example/",
	}
}

func checkReading(t testing.TB, e event.Event, id, reader, url string) {
	t.Helper()
	var metadata map[string]int
	if err := json.Unmarshal(e.Metadata, &metadata); err != nil || metadata["issue"] != 11 {
		t.Errorf("metadata %s", e.Metadata)
	}
	if e.Message != id || e.Recipient != reader || e.URL != url || e.Tenant != "default" || e.Stream != "marketing" ||
		e.Campaign != "november" || !slices.Equal(e.Tags, []string{"news", "books"}) {
		t.Errorf("%+v", e)
	}
}

// stored counts what one store keeps of a person.
func (w *world) stored(address, store string) int {
	w.Helper()
	var report api.SubjectReport
	if err := json.Unmarshal([]byte(w.run("privacy", "find", "--json", address)), &report); err != nil {
		w.Fatal(err)
	}
	for _, s := range report.Stores {
		if s.Store == store {
			return s.Records
		}
	}
	w.Fatalf("no store is called %s: %v", store, report.Stores)
	return 0
}
