package mimetree_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"pgregory.net/rapid"
)

func unquote(t *rapid.T, encoded []byte) []byte {
	t.Helper()
	for line := range bytes.Lines(encoded) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 76 {
			t.Fatalf("a line of %d: %q", len(line), line)
		}
	}
	got, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(encoded)))
	if err != nil {
		t.Fatalf("decode %q: %v", encoded, err)
	}
	return got
}

func TestQuoter(t *testing.T) {
	content := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\r\n\n \t=aaaaaa\xc3"))))
	rapid.Check(t, func(t *rapid.T) {
		for _, lineBreak := range []string{"\r\n", "\n"} {
			want := content.Draw(t, "content")
			q := mimetree.Quoter{LineBreak: lineBreak}
			q.Text(want)
			if got := unquote(t, q.Out); !bytes.Equal(got, want) {
				t.Fatalf("%q became %q by %q", want, got, q.Out)
			}
		}
	})
}

func TestBase64(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		width := rapid.IntRange(0, 100).Draw(t, "width")
		encoded := mimetree.AppendBase64(nil, want, width, "\r\n")
		for line := range bytes.Lines(encoded) {
			if len(bytes.TrimRight(line, "\r\n")) > max(width, 4) {
				t.Fatalf("line %q", line)
			}
		}
		got, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(encoded)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, %v", want, got, err)
		}
	})
}

// TestSplice edits decoded content in every encoding and compares with the same
// edits made on the plain content.
func TestSplice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ReplaceAll(rapid.StringMatching(`([a-z=\x{e9} ]{0,90}\n?){0,8}`).Draw(t, "text"), "\n", "\r\n")
		content := []byte(text)
		edits := drawEdits(t, content)
		want := mimetree.Apply(content, edits)
		for name, body := range map[string][]byte{"8bit": content, "quoted-printable": quote(t, content), "base64": mimetree.AppendBase64(nil, content, 60, "\r\n")} {
			message := append([]byte("Content-Transfer-Encoding: "+name+"\r\n\r\n"), body...)
			p, err := mimetree.Parse(message, mimetree.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.Content(message)
			if err != nil || !bytes.Equal(c.Bytes, content) {
				t.Fatalf("%s: decoded %q, want %q, %v", name, c.Bytes, content, err)
			}
			out := mimetree.Apply(message, p.Splice(message, c, edits, true))
			after, err := mimetree.Parse(out, mimetree.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := after.Content(out); err != nil || !bytes.Equal(got.Bytes, want) {
				t.Fatalf("%s: %q, want %q, %v", name, got.Bytes, want, err)
			}
			if after.Encoding == mimetree.EncodingQuotedPrintable {
				if got := unquote(t, out[after.Body:]); !bytes.Equal(got, want) {
					t.Fatalf("%s: another decoder reads %q, want %q", name, got, want)
				}
			}
		}
	})
}

func quote(t *rapid.T, content []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

func drawEdits(t *rapid.T, content []byte) []mimetree.Edit {
	var edits []mimetree.Edit
	at := 0
	for range rapid.IntRange(0, 4).Draw(t, "edits") {
		start := rapid.IntRange(at, len(content)).Draw(t, "start")
		end := rapid.IntRange(start, min(start+30, len(content))).Draw(t, "end")
		if splitsBreak(content, start) || splitsBreak(content, end) {
			continue // no edit of a tag does
		}
		value := rapid.StringMatching(`[a-z=/"&]{0,100}`).Draw(t, "new")
		edits = append(edits, mimetree.Edit{Start: start, End: end, New: []byte(value)})
		if at = end + 1; at > len(content) {
			break
		}
	}
	return edits
}

func splitsBreak(content []byte, at int) bool {
	return at > 0 && at < len(content) && content[at-1] == '\r' && content[at] == '\n'
}

func TestSpliceKeepsTheRest(t *testing.T) {
	const head = "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	const body = "odd =e9scapes=\r\n, =  \r\nsoft breaks LINK and 8-bit \xe9 and trailing =20\r\nlast"
	message := []byte(head + body)
	p, err := mimetree.Parse(message, mimetree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Content(message)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(c.Bytes, []byte("LINK"))
	edits := []mimetree.Edit{{Start: at, End: at + 4, New: []byte("a=b")}}
	got := string(mimetree.Apply(message, p.Splice(message, c, edits, false)))
	if want := strings.Replace(string(message), "LINK", "a=3Db", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSpliceLongLines(t *testing.T) {
	for _, c := range []struct {
		name           string
		before, growth int
		quoted         bool
	}{{"fits", 990, 8, false}, {"too long", 990, 9, true}, {"was too long", 1200, 1, true}} {
		message := []byte("Subject: x\n\nshort\n" + strings.Repeat("x", c.before) + "\nend\n")
		p, err := mimetree.Parse(message, mimetree.Options{})
		if err != nil {
			t.Fatal(err)
		}
		content, _ := p.Content(message)
		edits := []mimetree.Edit{{Start: 10, End: 10, New: bytes.Repeat([]byte("y"), c.growth)}}
		out := mimetree.Apply(message, p.Splice(message, content, edits, true))
		want := "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n"
		if strings.HasPrefix(string(out), want) != c.quoted {
			t.Errorf("%s: %.100q", c.name, out)
		}
		after, err := mimetree.Parse(out, mimetree.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := after.Content(out); err != nil || string(got.Bytes) != string(mimetree.Apply(content.Bytes, edits)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestContentRefuses(t *testing.T) {
	for encoding, bodies := range map[string][]string{
		"base64":           {"QQ=", "Q", "QQ==QQ==", "Q!Q=", "\xff"},
		"quoted-printable": {"a=b", "=4", "=\rx", "= x"},
		"x-other":          {""},
	} {
		for _, body := range bodies {
			message := []byte("Content-Transfer-Encoding: " + encoding + "\r\n\r\n" + body)
			p, err := mimetree.Parse(message, mimetree.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c, err := p.Content(message); err == nil {
				t.Errorf("%s %q: decoded as %q", encoding, body, c.Bytes)
			}
		}
	}
}
