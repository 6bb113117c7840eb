package tracking_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking"
)

// chosen stands for what keeps choices.
type chosen struct {
	now  tracking.Choices
	made []tracking.Choice
	fail error
}

func (c *chosen) Choices(string, string, mail.Address) (tracking.Choices, error) { return c.now, nil }

func (c *chosen) Choose(_ context.Context, x tracking.Choice) (bool, error) {
	if c.fail != nil {
		return false, c.fail
	}
	c.made = append(c.made, x)
	return true, nil
}

func choicesSite(t *testing.T, c *chosen) (*site, string) {
	t.Helper()
	s := startWith(t, func(o *tracking.Options) { o.Preferences = c })
	return s, strings.Replace(unsubscribeURL(t, s), "/u/", "/p/", 1)
}

func acme() tracking.Choices {
	return tracking.Choices{Tenant: "Acme <b>", Language: "de", Streams: []tracking.StreamChoice{
		{Name: "marketing", DisplayName: "Angebote & mehr"}, {Name: "digest", DisplayName: "Digest", Left: true},
	}}
}

// TestChoicesPage proves that what the page's buttons send is what is done, that
// looking changes nothing, and that nothing can be chosen that is not on it.
func TestChoicesPage(t *testing.T) {
	c := &chosen{now: acme()}
	s, page := choicesSite(t, c)
	got := s.do(t, http.MethodGet, page, "", "")
	if got.StatusCode != http.StatusOK || len(c.made) != 0 || !strings.Contains(got.body, "Acme &lt;b&gt;") || strings.Contains(got.body, "jane@example.com") {
		t.Errorf("%v, %+v\n%s", got.Status, c.made, got.body)
	}
	var did []string
	for _, form := range forms(t, got.body) {
		if answer := s.do(t, http.MethodPost, page, "application/x-www-form-urlencoded", form.Encode()); answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, `role="status"`) {
			t.Errorf("%v: %v", form, answer.Status)
		}
	}
	for _, x := range c.made {
		if x.Tenant != "acme" || x.Address.String() != "jane@example.com" || x.Message == "" {
			t.Errorf("%+v", x)
		}
		did = append(did, strings.TrimSpace(string(x.Do)+" "+x.Stream))
	}
	if want := []string{"leave marketing", "return digest", "leave_all", "unmeasure"}; !slices.Equal(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
	c.now.AllLeft, c.now.Unmeasured, c.made = true, true, nil
	for _, form := range forms(t, s.do(t, http.MethodGet, page, "", "").body) {
		s.do(t, http.MethodPost, page, "application/x-www-form-urlencoded", form.Encode())
	}
	if len(c.made) != 2 || c.made[0].Do != tracking.ReturnAll || c.made[1].Do != tracking.Measure {
		t.Errorf("%+v", c.made)
	}
	c.made = nil
	for _, body := range []string{"", "choice=leave", "choice=leave&stream=other", "choice=sell", "choice=leave_all&stream=marketing", "List-Unsubscribe=One-Click"} {
		if got := s.do(t, http.MethodPost, page, "application/x-www-form-urlencoded", body); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %v", body, got.Status)
		}
	}
	if got := s.do(t, http.MethodPost, page, "application/json", `{"choice":"leave_all"}`); got.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: %v", got.Status)
	}
	if got := s.do(t, http.MethodGet, page+"?choice=leave_all", "", ""); got.StatusCode != http.StatusOK || len(c.made) != 0 {
		t.Errorf("GET: %v, %+v", got.Status, c.made)
	}
	if got := s.do(t, http.MethodPost, page+"x", "application/x-www-form-urlencoded", "choice=leave_all"); got.StatusCode != http.StatusNotFound || len(c.made) != 0 {
		t.Errorf("forged: %v, %+v", got.Status, c.made)
	}
	c.fail = errDisk
	if got := s.do(t, http.MethodPost, page, "application/x-www-form-urlencoded", "choice=leave_all"); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, `role="alert"`) {
		t.Errorf("failing: %v", got.Status)
	}
	var told []string
	for _, e := range s.events(t) {
		if e.Recipient != "jane@example.com" || e.Tenant != "acme" {
			t.Errorf("%+v", e)
		}
		told = append(told, strings.Join([]string{string(e.Type), e.Stream, e.Reason}, " "))
	}
	want := []string{
		string(event.Unsubscribed) + " marketing ", string(event.Unsuppressed) + " digest unsubscribed",
		string(event.Unsubscribed) + "  ", string(event.Unsuppressed) + "  unsubscribed",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// forms returns what each form of a page sends.
func forms(t *testing.T, body string) (all []url.Values) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(body))
	for z.Next() != html.ErrorToken {
		token := z.Token()
		attributes := map[string]string{}
		for _, a := range token.Attr {
			attributes[a.Key] = a.Val
		}
		switch {
		case token.Data == "form" && token.Type == html.StartTagToken:
			all = append(all, url.Values{})
			if attributes["method"] != "post" || attributes["action"] != "" {
				t.Errorf("a form sends %v", attributes)
			}
		case token.Data == "input":
			all[len(all)-1].Set(attributes["name"], attributes["value"])
		}
	}
	return all
}

// TestPageLanguages proves which language the pages speak, and that they say so.
func TestPageLanguages(t *testing.T) {
	s, page := choicesSite(t, &chosen{now: acme()})
	for accept, want := range map[string]string{
		"": "de", "fr": "fr", "fr-CA, en;q=0.5": "fr", "ja, es;q=0.3": "es", "it;q=0.1, en;q=0.9": "en", "ja": "de", "*": "de",
		"not a field;;;": "de", strings.Repeat("x", 4000): "de", "de-AT": "de",
	} {
		for _, at := range []string{page, strings.Replace(page, "/p/", "/u/", 1)} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept-Language", accept)
			answer, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := html.Parse(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if got := language(tree); got != want || answer.Header.Get("Content-Language") != want {
				t.Errorf("%.20q: %q, %q; want %q", accept, got, answer.Header.Get("Content-Language"), want)
			}
		}
	}
}

// language is that of a page's html element.
func language(tree *html.Node) string {
	for n := range tree.Descendants() {
		if n.Type == html.ElementNode && n.Data == "html" {
			for _, a := range n.Attr {
				if a.Key == "lang" {
					return a.Val
				}
			}
		}
	}
	return ""
}

// TestUnsubscribePageLeadsToChoices proves that the link on the page, and that of
// the confirmation, leads to the page of choices.
func TestUnsubscribePageLeadsToChoices(t *testing.T) {
	s, page := choicesSite(t, &chosen{now: acme()})
	at := strings.Replace(page, "/p/", "/u/", 1)
	for _, body := range []string{
		s.do(t, http.MethodGet, at, "", "").body,
		s.do(t, http.MethodPost, at, "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").body,
	} {
		_, rest, _ := strings.Cut(body, `href="`)
		link, _, _ := strings.Cut(rest, `"`)
		base, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := tracking.OpenURL(keyring(t), page); err != nil || o.Kind != "preferences" || o.Address != "jane@example.com" {
			t.Errorf("holds %+v, %v", o, err)
		}
		if to, err := base.Parse(link); err != nil || to.String() != page {
			t.Errorf("leads to %v, %v, not to %s", to, err, page)
		}
	}
}

// TestTexts proves that every language has every text, with the same names to be
// put in.
func TestTexts(t *testing.T) {
	raw, err := os.ReadFile("texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 {
		t.Errorf("%d languages", len(all))
	}
	for _, name := range []string{"en", "de", "fr", "es", "it"} {
		if len(all[name]) != len(all["en"]) {
			t.Errorf("%s: %d texts, %d in English", name, len(all[name]), len(all["en"]))
		}
		for key, english := range all["en"] {
			text := all[name][key]
			if strings.TrimSpace(text) == "" || name != "en" && text == english {
				t.Errorf("%s: no text for %s", name, key)
			}
			for _, mark := range []string{"{tenant}", "{address}", "{stream}"} {
				if strings.Contains(text, mark) != strings.Contains(english, mark) {
					t.Errorf("%s: %s and %s", name, key, mark)
				}
			}
		}
	}
}

// FuzzChoices proves that whatever is sent to the page of choices, nothing is
// done that is not on it, and that an answer is a page in a language there is.
func FuzzChoices(f *testing.F) {
	c := &chosen{now: acme()}
	tracker := newTracker(f, &store{}, func(o *tracking.Options) { o.Preferences = c })
	f.Cleanup(func() { tracker.Shutdown(context.Background()) })
	l := links(f, "https://t.example")
	page := strings.Replace(must(f)(l.UnsubscribeURL(message(), 0, "acme", "marketing", address(f)))[len("https://t.example"):], "/u/", "/p/", 1)
	f.Add("POST", "choice=leave&stream=marketing", "de;q=0.5, fr")
	f.Add("POST", "choice=leave_all&choice=return&stream=%zz", "*")
	f.Add("GET", "", "x-klingon;q=1,,-;q=é")
	f.Fuzz(func(t *testing.T, method, body, accept string) {
		c.made = nil
		r := httptest.NewRequest("GET", page, io.NopCloser(strings.NewReader(body)))
		r.Method = method
		r.Header["Content-Type"], r.Header["Accept-Language"] = []string{"application/x-www-form-urlencoded"}, []string{accept}
		w := httptest.NewRecorder()
		tracker.ServeHTTP(w, r)
		if language := w.Header().Get("Content-Language"); w.Code != http.StatusMethodNotAllowed && !slices.Contains([]string{"en", "de", "fr", "es", "it"}, language) {
			t.Fatalf("%d in %q", w.Code, language)
		}
		if len(c.made) > 0 && method != http.MethodPost {
			t.Fatalf("%s did %+v", method, c.made)
		}
		for _, x := range c.made {
			one := x.Do == tracking.Leave || x.Do == tracking.Return
			if x.Tenant != "acme" || x.Address.String() != "jane@example.com" || one != (x.Stream == "marketing" || x.Stream == "digest") {
				t.Fatalf("did %+v", x)
			}
		}
	})
}
