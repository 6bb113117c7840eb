package rewrite_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
)

const textHead = "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nList-Unsubscribe: <https://example.com/leave?a=1>\r\n\r\n"

// textOptions track links in plain text.
func (r *recorder) textOptions() rewrite.Options {
	o := r.options()
	o.TextLink, o.Pixel = r.link, ""
	return o
}

// TestTextLinks: TRACKED stands for the replacement.
func TestTextLinks(t *testing.T) {
	for text, want := range map[string]struct{ text, url string }{
		"http://x.example/":                       {"TRACKED", "http://x.example/"},
		"see HTTPS://X.example/a?b=c#d now":       {"see TRACKED now", "HTTPS://X.example/a?b=c#d"},
		"line\r\nhttps://x.example\r\nline":       {"line\r\nTRACKED\r\nline", "https://x.example"},
		"Look: https://x.example/a.":              {"Look: TRACKED.", "https://x.example/a"},
		"(https://x.example/a)":                   {"(TRACKED)", "https://x.example/a"},
		"https://x.example/a_(b)":                 {"TRACKED", "https://x.example/a_(b)"},
		"(https://x.example/a_(b)), yes":          {"(TRACKED), yes", "https://x.example/a_(b)"},
		"<https://x.example/a>":                   {"<TRACKED>", "https://x.example/a"},
		"\"https://x.example/a\"":                 {"\"TRACKED\"", "https://x.example/a"},
		"'https://x.example/a'":                   {"'TRACKED'", "https://x.example/a"},
		"[text](https://x.example/a)":             {"[text](TRACKED)", "https://x.example/a"},
		"*https://x.example/a*!?":                 {"*TRACKED*!?", "https://x.example/a"},
		"_https://x.example/a_b_":                 {"_TRACKED_", "https://x.example/a_b"},
		"https://x.example/?a=1&b=2&amp;c":        {"TRACKED", "https://x.example/?a=1&b=2&amp;c"},
		"https://x.example/a%20b~c'd-":            {"TRACKED", "https://x.example/a%20b~c'd-"},
		"> quoted https://x.example/a \r\n":       {"> quoted TRACKED \r\n", "https://x.example/a"},
		"bücher: https://x.example/a – ja":        {"bücher: TRACKED – ja", "https://x.example/a"},
		"mailto:a@b.example https://x.example/":   {"mailto:a@b.example TRACKED", "https://x.example/"},
		"http://https://x.example/":               {"TRACKED", "http://https://x.example/"},
		"://x https://x.example/":                 {"://x TRACKED", "https://x.example/"},
		"http://<a> http://... https://x.example": {"http://<a> http://... TRACKED", "https://x.example"},
	} {
		var r recorder
		result, err := rewrite.Rewrite([]byte(textHead+text), r.textOptions())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.Message); got != textHead+strings.Replace(want.text, "TRACKED", clickBase+"0.", 1) {
			t.Errorf("%q became %q", text, got[len(textHead):])
		}
		if !slices.Equal(r.urls, []string{want.url}) || result.Links != 1 {
			t.Errorf("%q: %q, %d links", text, r.urls, result.Links)
		}
	}
}

func TestNotTextLinks(t *testing.T) {
	for _, text := range []string{
		"", "no link", "www.x.example", "ftp://x.example/", "mailto:a@b.example", "http://", "https://.", "xhttp://x.example/", "ahttps://x.example/", "git+https://x.example/",
		"a=https://x.example/", "/https://x.example/", "https://t.example/c/x", "https://example.com/leave?a=1", "(https://example.com/leave?a=1).",
		"https://x.example/{{path}}", "https://x.example/{{ path }}", "https://x.example/*|PATH|*", "https://x.example/<%= path %>", "https://x.example/{% path %}",
		"https://bücher.example/", "https://x.example/。次", "https://x.example/a|b", "https://x.example/a_", "https://x.example/a*.", "https://x.example/~'", "https://x.example/a\\b", "<https://x.example/long\r\nrest>", "<https://x.example/", "<https://x.example/a.>",
		"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nhttps://x.example/\r\n",
	} {
		var r recorder
		result, err := rewrite.Rewrite([]byte(textHead+text), r.textOptions())
		if err != nil || string(result.Message) != textHead+text || len(r.urls) > 0 {
			t.Errorf("%q became %q, %q, %v", text, result.Message[len(textHead):], r.urls, err)
		}
	}
}

func TestTextParts(t *testing.T) {
	const url = "https://x.example/a"
	text := func(fields string) string { return part("text/plain; charset=utf-8", fields, url+"\r\n") }
	for name, c := range map[string]struct {
		message string
		links   int
	}{
		"alternative":       {multi("alternative", text(""), shown()), 2},
		"no content type":   {"Subject: x\r\n\r\n" + url, 1},
		"attachment":        {multi("mixed", text(""), text("Content-Disposition: attachment\r\n")), 1},
		"named":             {multi("mixed", text(""), part("text/plain; name=log.txt", "", url)), 1},
		"quoted-printable":  {part("text/plain", "Content-Transfer-Encoding: quoted-printable\r\n", "=C3=BC https://x=\r\n.example/a=20"), 1},
		"base64":            {part("text/plain", "Content-Transfer-Encoding: base64\r\n", "aHR0cHM6Ly94LmV4YW1wbGUvYQ==\r\n"), 1},
		"undecodable":       {multi("mixed", shown(), part("text/plain", "Content-Transfer-Encoding: x-odd\r\n", url)), 1},
		"signed":            {multi("signed", text(""), part("application/pgp-signature", "", "x")), 0},
		"message inside":    {multi("mixed", part("message/rfc822", "", text(""))), 0},
		"other text":        {multi("mixed", part("text/x-amp-html", "", url), part("text/calendar", "", url), part("text/css", "", url), part("text/markdown", "", url)), 0},
		"utf-16":            {part("text/plain; charset=utf-16", "", url), 0},
		"flowed":            {part("text/plain; format=flowed", "", url+" \r\nmore"), 1},
		"flowed and joined": {part("text/plain; format=flowed; delsp=yes", "", url+" \r\nmore"), 0},
		"joined, not here":  {part("text/plain; format=flowed; DelSp=Yes", "", url+"\r\nmore"), 1},
		"exempt in HTML":    {multi("alternative", text(""), part("text/html", "", `<a clicktracking=off href="`+url+`">x</a>`)), 0},
		"exempt elsewhere":  {multi("alternative", text(""), part("text/html", "", `<a clicktracking=off href="`+url+`b">x</a>`)), 1},
	} {
		r := recorder{pad: strings.Repeat("-", 60)}
		result, err := rewrite.Rewrite([]byte(c.message), r.textOptions())
		if err != nil || result.Links != c.links {
			t.Errorf("%s: %d links, want %d, %v:\n%s", name, result.Links, c.links, err, result.Message)
		}
		if _, err := mimetree.Parse(result.Message, mimetree.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Plain text stays what it is unless it is asked for.
	var r recorder
	message := multi("alternative", text(""), shown())
	if result, err := rewrite.Rewrite([]byte(message), r.options()); err != nil || result.Links != 1 || !strings.Contains(string(result.Message), "\r\n"+url+"\r\n") {
		t.Errorf("%v\n%s", err, result.Message)
	}
}

// TestAnyText proves that outside the replaced URLs no octet changes, and that
// putting them back gives what was handed in, in every encoding.
func TestAnyText(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"http://", "https://", "<", ">", "(", ")", ".", ",", "\r\n", " ", "text", "é", "{{", "}}", "|", "#", "?a=b&c", "x.example/", "=", "%20"}),
		rapid.StringMatching(`https?://[a-z]{1,9}\.example/[a-z0-9/%._~-]{0,70}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 20).Draw(t, "text"), "")
		for name, message := range encodings(t, []byte(text)) {
			message = []byte(strings.Replace(string(message), "text/html", "text/plain", 1))
			r := recorder{pad: rapid.StringMatching(`[-_]{0,90}`).Draw(t, "pad")}
			result, err := rewrite.Rewrite(message, r.textOptions())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			p, err := mimetree.Parse(result.Message, mimetree.Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			n := 0
			pattern := regexp.MustCompile(regexp.QuoteMeta(clickBase) + `\d+\.` + r.pad)
			back := pattern.ReplaceAllStringFunc(decoded(t, p, string(result.Message[p.Body:p.End])), func(string) string {
				n++
				return r.urls[n-1]
			})
			if strings.TrimRight(back, "\r\n") != strings.TrimRight(text, "\r\n") || n != len(r.urls) {
				t.Fatalf("%s: %q became %q", name, text, back)
			}
		}
	})
}
