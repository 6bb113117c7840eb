package rewrite_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"pgregory.net/rapid"
)

const anchor = `<p><a href="http://x.example/">x</a></p>`

// part returns an entity with the given fields.
func part(contentType, fields, body string) string {
	return "Content-Type: " + contentType + "\r\n" + fields + "\r\n" + body
}

func multi(kind string, parts ...string) string {
	boundary := fmt.Sprintf("=_%s_%d", kind, len(strings.Join(parts, "")))
	return part("multipart/"+kind+"; boundary=\""+boundary+"\"", "",
		"preamble\r\n--"+boundary+"\r\n"+strings.Join(parts, "\r\n--"+boundary+"\r\n")+"\r\n--"+boundary+"--\r\nepilogue\r\n")
}

func plain() string { return part("text/plain", "", "http://x.example/") }

func shown() string { return part("text/html; charset=utf-8", "", anchor) }

// TestParts: L counts links, P says in which of the anchors' parts, from 1, the
// pixel is; 0 for none.
func TestParts(t *testing.T) {
	for name, c := range map[string]struct {
		message      string
		links, pixel int
	}{
		"alone":                {shown(), 1, 1},
		"plain":                {plain(), 0, 0},
		"alternative":          {multi("alternative", plain(), shown()), 1, 1},
		"two alternatives":     {multi("alternative", shown(), plain(), shown()), 2, 2},
		"in a row":             {multi("mixed", shown(), shown()), 2, 1},
		"related":              {multi("mixed", multi("alternative", plain(), multi("related", shown(), part("image/png", "", "x")))), 1, 1},
		"attachment":           {multi("mixed", plain(), part("text/html", "Content-Disposition: attachment; filename=x.html\r\n", anchor)), 0, 0},
		"named":                {multi("mixed", plain(), part("text/html; name=x.html", "", anchor)), 0, 0},
		"inline, named":        {multi("mixed", plain(), part("text/html", "Content-Disposition: inline; filename*=''x.html\r\n", anchor)), 0, 0},
		"named first":          {multi("mixed", part("text/html; name=x.html", "", anchor)), 1, 1},
		"odd disposition":      {part("text/html", "Content-Disposition: x-odd\r\n", anchor), 0, 0},
		"signed":               {multi("signed", shown(), part("application/pgp-signature", "", "x")), 0, 0},
		"signed and footer":    {multi("mixed", multi("signed", shown(), part("application/pgp-signature", "", "x")), shown()), 1, 2},
		"encrypted":            {multi("encrypted", shown()), 0, 0},
		"message inside":       {multi("mixed", plain(), part("message/rfc822", "", shown())), 0, 0},
		"digest":               {multi("digest", "\r\n"+shown()), 0, 0},
		"AMP and calendar":     {multi("alternative", part("text/x-amp-html", "", anchor), part("text/calendar", "", anchor), shown()), 1, 3},
		"utf-16":               {part("text/html; charset=utf-16", "", anchor), 0, 0},
		"utf-16 by its mark":   {part("text/html", "", "\xff\xfe"+anchor), 0, 0},
		"unknown encoding":     {part("text/html", "Content-Transfer-Encoding: x-odd\r\n", anchor), 0, 0},
		"no content type":      {"Subject: x\r\n\r\n" + anchor, 0, 0},
		"empty HTML beside":    {multi("alternative", shown(), part("text/html", "", "")), 1, 1},
		"wholly upper case":    {part("TEXT/HTML; CHARSET=UTF-8", "CONTENT-TRANSFER-ENCODING: 7BIT\r\n", anchor), 1, 1},
		"bare line feeds":      {strings.ReplaceAll(multi("alternative", plain(), shown()), "\r\n", "\n"), 1, 1},
		"carriage return odd":  {part("text/html", "", "\r\r\n\r"+anchor+"\r"), 1, 1},
		"mbox":                 {"From a@b Mon Jan 1\r\n" + shown(), 1, 1},
		"same nested boundary": {multi("mixed", multi("mixed", shown())), 1, 1},
	} {
		var r recorder
		result, err := rewrite.Rewrite([]byte(c.message), r.options())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := string(result.Message)
		if result.Links != c.links || len(r.urls) != c.links || strings.Count(got, clickBase) != c.links {
			t.Errorf("%s: %d links, want %d: %s", name, result.Links, c.links, got)
		}
		before, _, found := strings.Cut(got, pixelTag)
		if !found {
			before = ""
		}
		if n := strings.Count(before, "<p><a "); result.Pixel != (c.pixel > 0) || n != c.pixel || strings.Count(got, pixelTag) > 1 {
			t.Errorf("%s: pixel %v in part %d, want %d", name, result.Pixel, n, c.pixel)
		}
		if c.links == 0 && got != c.message {
			t.Errorf("%s: changed to %s", name, got)
		}
		sameMessage(t, []byte(c.message), result.Message, r.urls)
	}
}

func TestUntouched(t *testing.T) {
	failing := errors.New("no keys")
	link := func(string) (string, error) { return clickBase + "x", nil }
	for name, c := range map[string]struct {
		message string
		link    func(string) (string, error)
		want    error
		reason  string
	}{
		"no end":      {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + shown(), link, mimetree.ErrMalformed, "malformed"},
		"bad quoted":  {part("text/html", "Content-Transfer-Encoding: quoted-printable\r\n", anchor), link, mimetree.ErrEncoding, "encoding"},
		"bad base64":  {part("text/html", "Content-Transfer-Encoding: base64\r\n", "!"), link, mimetree.ErrEncoding, "encoding"},
		"one of two":  {multi("mixed", shown(), part("text/html", "Content-Transfer-Encoding: base64\r\n", "!")), link, mimetree.ErrEncoding, "encoding"},
		"link fails":  {shown(), func(string) (string, error) { return "", failing }, failing, "link"},
		"no URL":      {shown(), func(string) (string, error) { return "javascript:x", nil }, rewrite.ErrLink, "link"},
		"not ASCII":   {shown(), func(string) (string, error) { return "https://é", nil }, rewrite.ErrLink, "link"},
		"a line feed": {shown(), func(string) (string, error) { return "https://t.example/\n", nil }, rewrite.ErrLink, "link"},
		"too many":    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n", 5000) + "--b--", link, mimetree.ErrTooComplex, "complex"},
	} {
		result, err := rewrite.Rewrite([]byte(c.message), rewrite.Options{Link: c.link, Pixel: pixelURL})
		if !errors.Is(err, c.want) || rewrite.Reason(err) != c.reason {
			t.Errorf("%s: %v (%s)", name, err, rewrite.Reason(err))
		}
		if string(result.Message) != c.message || result.Links > 0 || result.Pixel {
			t.Errorf("%s: changed", name)
		}
	}
	if rewrite.Reason(nil) != "" || rewrite.Reason(failing) != "other" {
		t.Error("reasons")
	}
	same := []byte("broken")
	if result, err := rewrite.Rewrite(same, rewrite.Options{}); err != nil || &result.Message[0] != &same[0] {
		t.Errorf("nothing asked: %v", err)
	}
}

func TestKeep(t *testing.T) {
	document := `<a href="http://a.example/"><a href="http://b.example/"><a href="http://c.example/">`
	var asked []string
	result, err := rewrite.Rewrite([]byte(htmlHead+document), rewrite.Options{
		Link: func(url string) (string, error) {
			asked = append(asked, url)
			return "", rewrite.ErrKeep
		},
		KeepURLs: []string{"http://a.example/"}, KeepHosts: []string{"b.example"},
	})
	if err != nil || string(result.Message) != htmlHead+document || result.Kept != 3 || !slices.Equal(asked, []string{"http://c.example/"}) {
		t.Errorf("%v %+v %q", err, result, asked)
	}
}

func TestReplacementIsEscaped(t *testing.T) {
	for html, want := range map[string]string{
		`<a href="http://x.example/">`: `<a href="https://t/?a&amp;&quot;'&lt;&gt;=">`,
		`<a href='http://x.example/'>`: `<a href='https://t/?a&amp;"&#39;&lt;&gt;='>`,
		`<a href=http://x.example/>`:   `<a href="https://t/?a&amp;&quot;'&lt;&gt;=">`,
	} {
		result, err := rewrite.Rewrite([]byte(htmlHead+html), rewrite.Options{Link: func(string) (string, error) { return `https://t/?a&"'<>=`, nil }})
		if err != nil || string(result.Message) != htmlHead+want {
			t.Errorf("%s: %v\n%s", html, err, result.Message[len(htmlHead):])
		}
	}
}

func TestLongLinesBecomeQuoted(t *testing.T) {
	line := strings.Repeat("x", 950) + anchor + "\r\n"
	message := multi("alternative", plain(), part("text/html; charset=utf-8", "Content-Transfer-Encoding: 8bit\r\n", "<p>é\r\n"+line))
	r := recorder{pad: strings.Repeat("-", 100)}
	result, err := rewrite.Rewrite([]byte(message), r.options())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(result.Message, []byte("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=A9\r\nxxx")) {
		t.Errorf("%s", result.Message)
	}
	sameMessage(t, []byte(message), result.Message, r.urls)
}

func TestHeaders(t *testing.T) {
	const fields = "X-A: 1\r\nX-B: 2\r\n"
	for message, want := range map[string]string{
		"Subject: x\r\n\r\ny": fields + "Subject: x\r\n\r\ny",
		"Return-Path: <>\r\nReceived: a\r\n\tb\r\nSubject: x\r\nReceived: c\r\n\r\n": "Return-Path: <>\r\nReceived: a\r\n\tb\r\n" + fields + "Subject: x\r\nReceived: c\r\n\r\n",
		"From a\nSubject: x\n\n": "From a\nX-A: 1\nX-B: 2\nSubject: x\n\n",
	} {
		got, err := rewrite.AddHeaders([]byte(message), []byte(fields))
		if err != nil || string(got) != want {
			t.Errorf("%q became %q, want %q, %v", message, got, want, err)
		}
	}
	if got, err := rewrite.AddHeaders([]byte("broken\r\n\r\n"), []byte(fields)); !errors.Is(err, mimetree.ErrMalformed) || string(got) != "broken\r\n\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	if has, err := rewrite.HasHeader([]byte("list-UNSUBSCRIBE: x\r\n\r\n"), "List-Unsubscribe"); err != nil || !has {
		t.Errorf("%v, %v", has, err)
	}
	if has, err := rewrite.HasHeader([]byte("Subject: x\r\n\r\nList-Unsubscribe: x"), "List-Unsubscribe"); err != nil || has {
		t.Errorf("%v, %v", has, err)
	}
}

// drawHTML makes a document of pieces that trip others up.
func drawHTML(t *rapid.T) string {
	pieces := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom([]string{
			"<p>", "</p>", "text ", "\r\n", "<br/>", "é&amp;=", "<!-- a -->", "<style>a{}</style>", "<script>'<a href=\"http://no.example\">'</script>",
			"<!--[if mso]>", "<![endif]-->", "<noscript>", "</noscript>", "<table><tr><td>", "</td></tr></table>", "<img src=\"http://i.example/\">", "{{name}}",
			"<a href=\"mailto:a@b.example\">", "</a>", "<b>", "</b>", strings.Repeat("long ", 30), "<svg>", "</svg>", "<title>", "</title>", "   \r\n",
		}),
		rapid.Custom(func(t *rapid.T) string {
			quote := rapid.SampledFrom([]string{`"`, `'`}).Draw(t, "quote")
			url := rapid.StringMatching(`https?://[a-z]{1,10}\.example(:[0-9]{2,4})?/[a-zA-Z0-9é=/%.]{0,90}(\?[a-z=&;]{0,20})?`).Draw(t, "url")
			space := rapid.SampledFrom([]string{"", " ", "\r\n"}).Draw(t, "space")
			return "<a class=x href" + space + "=" + space + quote + strings.ReplaceAll(url, "&", "&amp;") + quote + ">"
		}),
	), 0, 30).Draw(t, "html")
	return strings.Join(pieces, "")
}

func TestAnyDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		document := drawHTML(t)
		for name, message := range encodings(t, []byte(document)) {
			r := recorder{pad: rapid.StringMatching(`[-_]{0,150}`).Draw(t, "pad")}
			o := r.options()
			o.Pixel = ""
			result, err := rewrite.Rewrite(message, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			sameMessage(t, message, result.Message, r.urls)
			if result.Links != len(r.urls) {
				t.Fatalf("%d links of %d", result.Links, len(r.urls))
			}
		}
	})
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(shown()))
	f.Add([]byte(multi("alternative", plain(), shown())))
	f.Add([]byte(part("text/html", "Content-Transfer-Encoding: base64\r\n", "PGEgaHJlZj0iaHR0cDovL3guZXhhbXBsZS8iPg==")))
	f.Add([]byte(part("text/html", "Content-Transfer-Encoding: quoted-printable\r\n", "<a href=3D\"http:=\r\n//x=2Eexample/\">x=20</a>")))
	f.Add([]byte(part("text/html; charset=windows-1252", "", "<!--[if mso]><a href=http://x.example/\xe9><![endif]--><base href=//y>")))
	f.Add([]byte(part("text/plain", "", "see <https://x.example/a_(b)>, *http://y.example/*.")))
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		r := recorder{pad: "--__"}
		o := r.options()
		o.TextLink, o.Parameters = r.link, utm()
		alone, err := rewrite.Rewrite(message, rewrite.Options{Parameters: utm()})
		if _, malformed := mimetree.Parse(alone.Message, mimetree.Options{}); err == nil && malformed != nil {
			t.Fatalf("with parameters alone: %v", malformed)
		}
		result, err := rewrite.Rewrite(message, o)
		if !bytes.Equal(message, before) {
			t.Fatal("the message handed in changed")
		}
		if err != nil {
			if !bytes.Equal(result.Message, message) {
				t.Fatal("an error, and the message changed")
			}
			return
		}
		if n := bytes.Count(result.Message, []byte(pixelTag)) - bytes.Count(message, []byte(pixelTag)); n > 1 {
			t.Fatalf("%d pixels", n)
		}
		if _, err := mimetree.Parse(result.Message, mimetree.Options{}); err != nil {
			t.Fatalf("the result is malformed: %v", err)
		}
	})
}
