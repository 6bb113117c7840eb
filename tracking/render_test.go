package tracking_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

const newsletter = "Received: from a by b\r\nFrom: a@example.org\r\nSubject: News\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n\r\n" +
	"<html><body><a href=\"https://example.com/?a=1&amp;b=2\">x</a> <a href='https://T.example/p'>y</a></body></html>\r\n"

func options(t *testing.T) tracking.RenderOptions {
	return tracking.RenderOptions{
		Links: links(t, "https://t.example"), Message: message(), Index: 4,
		Tenant: "acme", Stream: "marketing", Address: address(t),
		Opens: true, Clicks: true, Unsubscribe: true,
	}
}

func TestRender(t *testing.T) {
	out, rendered, err := tracking.Render([]byte(newsletter), options(t))
	if err != nil || rendered.Untouched != nil {
		t.Fatal(err, rendered.Untouched)
	}
	if rendered.Links != 1 || rendered.Kept != 1 || !rendered.Pixel || !rendered.Unsubscribe {
		t.Errorf("rendered %+v", rendered)
	}
	pattern := `^Received: from a by b\r\n` +
		`List-Unsubscribe:\r\n <https://t\.example/u/([\w-]+)>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n` +
		`From: a@example\.org\r\nSubject: News\r\nMIME-Version: 1\.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n` +
		`<html><body><a href="https://t\.example/c/([\w-]+)">x</a> <a href='https://T\.example/p'>y</a>` +
		`<img src="https://t\.example/o/([\w-]+)\.gif" [^>]*></body></html>\r\n$`
	m := regexp.MustCompile(pattern).FindStringSubmatch(string(out))
	if m == nil {
		t.Fatalf("rendered:\n%s", out)
	}
	link, err := keyring(t).OpenLink(m[2])
	if want := (token.Link{Message: message(), Index: 4, URL: "https://example.com/?a=1&b=2"}); err != nil || link != want {
		t.Errorf("link %+v, %v", link, err)
	}
	if open, err := keyring(t).OpenOpen(m[3]); err != nil || open != (token.Open{Message: message(), Index: 4}) {
		t.Errorf("open %+v, %v", open, err)
	}
	u, err := keyring(t).OpenUnsubscribe(m[1])
	if want := (token.Unsubscribe{Message: message(), Index: 4, Tenant: "acme", Stream: "marketing", Address: "jane@example.com"}); err != nil || u != want {
		t.Errorf("unsubscribe %+v, %v", u, err)
	}
	if strings.Contains(string(out), "jane") {
		t.Error("the address is readable")
	}
}

func TestRenderOnlyWhatIsAsked(t *testing.T) {
	o := options(t)
	o.Opens, o.Clicks, o.Unsubscribe = false, false, false
	out, rendered, err := tracking.Render([]byte(newsletter), o)
	if err != nil || string(out) != newsletter || rendered.Links > 0 || rendered.Pixel || rendered.Unsubscribe {
		t.Errorf("%v %+v\n%s", err, rendered, out)
	}
}

func TestRenderUnsubscribeByMail(t *testing.T) {
	o := options(t)
	by, err := mail.ParseAddress("u-token@bounce.example")
	if err != nil {
		t.Fatal(err)
	}
	o.UnsubscribeAddress = by
	out, rendered, err := tracking.Render([]byte(newsletter), o)
	pattern := `\r\nList-Unsubscribe:\r\n <https://t\.example/u/[\w-]+>,\r\n <mailto:u-token@bounce\.example\?subject=unsubscribe>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n`
	if err != nil || !rendered.Unsubscribe || !regexp.MustCompile(pattern).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
	o.Unsubscribe = false
	if out, _, err := tracking.Render([]byte(newsletter), o); err != nil || strings.Contains(string(out), "mailto:") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRenderKeepsTheAuthorsUnsubscribe(t *testing.T) {
	own := "List-Unsubscribe: <mailto:u@example.org>,\r\n <https://example.com/?a=1&b=2>\r\n" + newsletter
	out, rendered, err := tracking.Render([]byte(own), options(t))
	if err != nil || rendered.Unsubscribe || rendered.Links != 0 || rendered.Kept != 2 {
		t.Errorf("%v %+v", err, rendered)
	}
	if n := strings.Count(string(out), "List-Unsubscribe"); n != 1 {
		t.Errorf("%d fields", n)
	}
}

func TestRenderLeavesMalformedBodiesAlone(t *testing.T) {
	torn := "From: a@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.com\">x</a>\r\n"
	o := options(t)
	out, rendered, err := tracking.Render([]byte(torn), o)
	if err != nil || !errors.Is(rendered.Untouched, mimetree.ErrMalformed) || !rendered.Unsubscribe || !strings.HasSuffix(string(out), torn) {
		t.Errorf("%v %+v\n%s", err, rendered, out)
	}
	const headless = "no header at all\r\n\r\nx"
	out, rendered, err = tracking.Render([]byte(headless), o)
	if err != nil || string(out) != headless || !errors.Is(rendered.Untouched, mimetree.ErrMalformed) || rendered.Unsubscribe {
		t.Errorf("%v %+v\n%s", err, rendered, out)
	}
}

func TestRenderKeepsTargetsTooLong(t *testing.T) {
	long := strings.Replace(newsletter, "?a=1", "?a="+strings.Repeat("x\r\n", token.MaxURL), 1)
	_, rendered, err := tracking.Render([]byte(long), options(t))
	if err != nil || rendered.Links != 0 || rendered.Kept != 2 {
		t.Errorf("%v %+v", err, rendered)
	}
}

func TestRenderErrors(t *testing.T) {
	for name, o := range map[string]tracking.RenderOptions{
		"tenant": {Tenant: strings.Repeat("x", 300)}, "line": {Tenant: strings.Repeat("x", 250), Stream: strings.Repeat("y", 250)},
	} {
		o.Unsubscribe, o.Links = true, links(t, "https://t.example/"+strings.Repeat("z", 400))
		if out, _, err := tracking.Render([]byte(newsletter), o); !errors.Is(err, token.ErrPayload) || string(out) != newsletter {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewLinks(t *testing.T) {
	for _, base := range []string{"", "t.example", "ftp://t.example", "https://", "https://t.example/?", "https://t.example/#", "https://u@t.example", "https://tä.example", "https://t.example/a\"b", "https://t.example/%zz", "https://t.example/a&b"} {
		if _, err := tracking.NewLinks(base, keyring(t)); !errors.Is(err, tracking.ErrBase) {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := tracking.NewLinks("https://t.example", nil); !errors.Is(err, tracking.ErrBase) {
		t.Errorf("no keys: %v", err)
	}
	if got := must(t)(links(t, "https://t.example:8443/x/").PixelURL(message(), 0)); !strings.HasPrefix(got, "https://t.example:8443/x/o/") {
		t.Error(got)
	}
}
