package rewrite

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

func snippets() []string {
	return []string{
		"<", ">", "</", "<a", "<A ", " href", "=", "\"", "'", "/", "!", "?", "-", "--", "<!--", "-->", "--!>", "<!-->", "<!--->", "<!DOCTYPE html>", "<!x>", "<?x>",
		"</>", "</ x>", "<script>", "</script>", "</script ", "<script ", "<style>", "</style>", "<title>", "</title>", "<TextArea>", "</textarea/", "<noscript>", "</noscript>",
		"<plaintext>", "<xmp>", "</xmp>", "<iframe>", "</iframe>", "text", " ", "\r\n", "\t", "&amp;", "&copy=1", "<b c=d>", "<br/>", "<a href='x'>", "<a href=x/>", "\xe9", "[if mso]>", "<![endif]",
	}
}

// sameAsTokenizer holds that our scanner cuts content where an HTML5 tokeniser
// does.
func sameAsTokenizer(t rapid.TB, content []byte) {
	t.Helper()
	z := html.NewTokenizer(bytes.NewReader(content))
	s := scanner{content: content}
	for {
		p, ok := s.next()
		kind := z.Next()
		raw := string(z.Raw())
		if kind == html.ErrorToken {
			// What is unfinished at the end is no token there.
			if ok && p.kind != kindBroken {
				t.Fatalf("%q: a piece %q where there is no token", content, content[p.start:p.end])
			}
			return
		}
		if ok && p.kind == kindRaw && is(p.name, "script") && bytes.Contains(content[p.start:p.end], []byte("<!--")) {
			return // the tokeniser forgets that it is in a comment after <<
		}
		for ok && p.kind == kindText && kind == html.TextToken && len(raw) < p.end-p.start {
			if kind = z.Next(); kind == html.TextToken {
				raw += string(z.Raw())
			}
		}
		if !ok || string(content[p.start:p.end]) != raw {
			t.Fatalf("%q: piece %v %q, want %v %q", content, p.kind, content[p.start:p.end], kind, raw)
		}
		if want := kindOf(kind); p.kind != want && (p.kind != kindRaw || want != kindText) {
			t.Fatalf("%q: %q is of kind %v, want %v", content, raw, p.kind, want)
		}
		if p.kind == kindStart {
			sameAttributes(t, z, content, p)
		}
	}
}

func kindOf(t html.TokenType) kind {
	switch t {
	case html.StartTagToken, html.SelfClosingTagToken:
		return kindStart
	case html.EndTagToken:
		return kindEnd
	case html.CommentToken:
		return kindComment
	case html.DoctypeToken:
		return kindDoctype
	}
	return kindText
}

// sameAttributes compares names and decoded values.
func sameAttributes(t rapid.TB, z *html.Tokenizer, content []byte, p piece) {
	t.Helper()
	name, more := z.TagName()
	if string(name) != strings.ToLower(string(p.name)) && !bytes.ContainsFunc(p.name, func(r rune) bool { return r >= 0x80 }) {
		t.Fatalf("%q: tag %q, want %q", content, p.name, name)
	}
	seen := make(map[string]bool)
	a := attributes{content: content[:p.end], at: p.start + 1 + len(p.name)}
	for a.next() {
		key := string(asciiLower(content[a.nameStart:a.nameEnd]))
		if key == "" || seen[key] {
			continue
		}
		seen[key] = true
		if !more {
			t.Fatalf("%q: an attribute %q too many", content, key)
		}
		var wantKey, wantValue []byte
		wantKey, wantValue, more = z.TagAttr()
		value := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(a.text()))
		if key != string(wantKey) || unescape(value) != string(wantValue) {
			t.Fatalf("%q: attribute %q=%q, want %q=%q", content, key, unescape(value), wantKey, wantValue)
		}
	}
	if more {
		t.Fatalf("%q: an attribute is missing", content)
	}
}

func asciiLower(b []byte) []byte {
	return bytes.Map(func(r rune) rune { return r }, lower(bytes.Clone(b)))
}

func lower(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

func TestScannerIsATokenizer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom(snippets())).Draw(t, "pieces")
		sameAsTokenizer(t, []byte(strings.ReplaceAll(strings.Join(pieces, ""), "\xe9", "é")))
	})
}

func TestUnescapeIsAParsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`(&(#x?[0-9a-f]{0,6}|amp|copy|not|notit|lt|AMP|semi|unknown|[a-z]{1,8})?[;=a1& ]?){1,6}`).Draw(t, "value")
		sameAsTokenizer(t, []byte(`<a href="`+value+`">`))
	})
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte(strings.Join(snippets(), "")))
	for _, s := range snippets() {
		f.Add([]byte("<script><!--" + s + "<script></script>" + s + "-->" + s + "</script><p " + s + ">"))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		// Documents with these are left alone.
		if bytes.IndexByte(content, 0) >= 0 || !bytes.Equal(bytes.ToValidUTF8(content, nil), content) {
			return
		}
		sameAsTokenizer(t, content)
	})
}
