package tracking_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"github.com/postrider-mta/postrider/tracking/token"
)

// TestOpenURL proves that every URL that is made tells what it was made of.
func TestOpenURL(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, keys := links(t, "https://T.example:8443/base"), keyring(t)
		id := [12]byte(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(rt, "id"))
		index := rapid.Uint32().Draw(rt, "index")
		target := "https://" + rapid.StringMatching(`[a-zé]{1,9}\.example/[^\x00-\x1f]{0,40}`).Draw(rt, "target")
		click := must(t)(l.ClickURL(id, index, target))
		for _, around := range []string{"", " ", "<>", "\"\"", "()"} {
			written := click
			if around != "" {
				written = around[:1] + click + around[len(around)-1:]
			}
			o, err := tracking.OpenURL(keys, written)
			if err != nil || o.Kind != "click" || o.Target != target || o.Message != id || o.Index != index || o.Host != "t.example:8443" || o.Key != 0 {
				rt.Fatalf("%+v, %v", o, err)
			}
		}
		if o, err := tracking.OpenURL(keys, must(t)(l.PixelURL(id, index))); err != nil || o.Kind != "open" || o.Message != id || o.Index != index {
			rt.Fatalf("%+v, %v", o, err)
		}
		o, err := tracking.OpenURL(keys, must(t)(l.UnsubscribeURL(id, index, "acme", "news", address(t)))+".")
		if err != nil || o.Kind != "unsubscribe" || o.Tenant != "acme" || o.Stream != "news" || o.Address != "jane@example.com" {
			rt.Fatalf("%+v, %v", o, err)
		}
	})
	for _, url := range []string{"", "x", "https://", "ftp://t.example/c/x", "https://t.example/x", "https://t.example/c/", "https://t.example/c/abc", "https://t.example/o/" + strings.Repeat("_", 40)} {
		if o, err := tracking.OpenURL(keyring(t), url); !errors.Is(err, tracking.ErrURL) {
			t.Errorf("%q: %+v, %v", url, o, err)
		}
	}
	click := must(t)(links(t, "https://t.example").ClickURL(message(), 0, "https://x.example/"))
	if o, err := tracking.OpenURL(keyring(t), click[:len(click)-4]+"AAAA"); !errors.Is(err, token.ErrToken) || o.Host != "t.example" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestRenderedLinksDecode takes links through a whole message and back: HTML
// and plain text, with parameters.
func TestRenderedLinksDecode(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var want []string
		var html, text strings.Builder
		for range rapid.IntRange(0, 6).Draw(rt, "links") {
			url := rapid.StringMatching(`https?://[a-z]{2,9}\.example/[a-z0-9/_-]{0,30}[a-z]`).Draw(rt, "url")
			want = append(want, url)
			html.WriteString(`<a href="` + url + `">x</a> `)
			text.WriteString("see " + url + " \r\n")
		}
		message := "From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n" + text.String() +
			"\r\n--b\r\nContent-Type: text/html\r\n\r\n" + html.String() + "\r\n--b--\r\n"
		o := options(t)
		o.Text = true
		var got, replaced []string
		o.Report = func(l rewrite.Link) { replaced = append(replaced, l.Replacement) }
		out, rendered, err := tracking.Render([]byte(message), o)
		if err != nil || rendered.Untouched != nil || rendered.Links != 2*len(want) {
			rt.Fatalf("%v %+v", err, rendered)
		}
		back := string(out)
		for _, link := range replaced {
			opened, err := tracking.OpenURL(keyring(t), link)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, opened.Target)
			back = strings.Replace(back, link, opened.Target, 1)
		}
		if strings.Join(got, " ") != strings.Join(append(want, want...), " ") {
			rt.Fatalf("%q, want twice %q", got, want)
		}
		if at := strings.Index(back, "\r\n\r\n--b"); strings.Replace(back[at:], pixelOf(back), "", 1) != message[strings.Index(message, "\r\n\r\n--b"):] {
			rt.Fatalf("%q became %q", message, back)
		}
	})
}

func pixelOf(message string) string {
	_, rest, ok := strings.Cut(message, "<img ")
	if !ok {
		return ""
	}
	tag, _, _ := strings.Cut(rest, ">")
	return "<img " + tag + ">"
}

// TestRecordFor proves that old mail's links work and that nothing of them is
// recorded.
func TestRecordFor(t *testing.T) {
	for name, c := range map[string]struct {
		age, recordFor time.Duration
		want           int
	}{"young": {time.Minute, time.Hour, 2}, "old": {2 * time.Hour, time.Hour, 0}, "for ever": {1e5 * time.Hour, 0, 2}} {
		s := startWith(t, func(o *tracking.Options) { o.RecordFor = c.recordFor })
		var id [12]byte
		ms := time.Now().Add(-c.age).UnixMilli()
		for i := range 6 {
			id[i] = byte(ms >> (40 - 8*i))
		}
		click := s.do(t, "GET", must(t)(s.links.ClickURL(id, 0, "https://example.com/")), "", "")
		if click.StatusCode != 302 || click.Header.Get("Location") != "https://example.com/" {
			t.Errorf("%s: %d", name, click.StatusCode)
		}
		if open := s.do(t, "GET", must(t)(s.links.PixelURL(id, 0)), "", ""); open.StatusCode != 200 || len(open.body) != 43 {
			t.Errorf("%s: %d", name, open.StatusCode)
		}
		if got := len(s.events(t)); got != c.want {
			t.Errorf("%s: %d events, want %d", name, got, c.want)
		}
	}
}
