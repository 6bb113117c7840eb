package mimetree_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"pgregory.net/rapid"
)

func TestEncode7Bit(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"nothing to do": {"Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n", "Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"},
		"text": {
			"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding:\r\n 8bit\r\nSubject: x\r\n\r\ncaf\xc3\xa9 = \r\nthe end of it all\r\n",
			"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nSubject: x\r\n\r\ncaf=C3=A9 =3D=20\r\nthe end of it all\r\n",
		},
		"no MIME":       {"Subject: x\r\n\r\n\xe9\xe8abcdefghijklmnopq\r\n", "Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9=E8abcdefghijklmnopq\r\n"},
		"dense":         {"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("\xd0\x90", 30), "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("0JDQkNCQ", 9) + "0JDQ\r\nkNCQ0JCQ"},
		"8-bit quoted":  {"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\xe9=3D", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9=3D"},
		"multipart":     {"Content-Transfer-Encoding: 8bit\r\n" + mixed + "pr\xe9\r\n--b\r\n\r\nabcdefghijklmnopq\xe9\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\n\r\n--b--\r\n\xe9", "Content-Transfer-Encoding: 7bit\r\n" + mixed + "pr?\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefghijklmnopq=E9\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n/wo=\r\n--b--\r\n?"},
		"inner message": {"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: x\r\n\r\nabcdefghijklmnopq\xe9", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefghijklmnopq=E9"},
		"signed beside": {mixed + "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--\r\n--b\r\n\r\nabcdefghijklmnopq\xe9\r\n--b--", mixed + "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefghijklmnopq=E9\r\n--b--"},
	} {
		if name == "dense" {
			c.want = ""
		}
		got, err := mimetree.Encode7Bit([]byte(c.message))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.want != "" && string(got) != c.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
		if c.want == "" && !bytes.Contains(got, []byte("\r\nContent-Transfer-Encoding: base64\r\n\r\n0JDQ")) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestEncode7BitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    error
	}{
		"header":          {"Subject: \xe9\r\n\r\n", mimetree.ErrHeader},
		"header of part":  {mixed + "--b\r\nContent-Description: \xe9\r\n\r\n\r\n--b--", mimetree.ErrHeader},
		"mbox line":       {"From \xe9\r\nSubject: x\r\n\r\n", mimetree.ErrHeader},
		"signed":          {"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--", mimetree.ErrSigned},
		"encrypted":       {"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--", mimetree.ErrSigned},
		"malformed":       {mixed + "--b\r\n\r\n\xe9", mimetree.ErrMalformed},
		"base64":          {"Content-Transfer-Encoding: base64\r\n\r\n\xe9", mimetree.ErrEncoding},
		"delivery status": {"Content-Type: message/delivery-status\r\n\r\n\xe9", mimetree.ErrEncoding},
	} {
		if _, err := mimetree.Encode7Bit([]byte(c.message)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// leaves returns type and decoded content of every leaf.
func leaves(t rapid.TB, message []byte) []string {
	t.Helper()
	root, err := mimetree.Parse(message, mimetree.Options{Messages: true})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(*mimetree.Part)
	walk = func(p *mimetree.Part) {
		if len(p.Children) == 0 {
			c, err := p.Content(message)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, p.Type+" "+string(c.Bytes))
		}
		for _, child := range p.Children {
			walk(child)
		}
	}
	walk(root)
	return found
}

// drawMessage makes a message of random parts.
func drawMessage(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if kind == 0 && depth < 3 {
		boundary := fmt.Sprintf("=_%d", rapid.IntRange(0, 1<<40).Draw(t, "boundary"))
		body := "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\npreamble\xe9\r\n"
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			body += "--" + boundary + "\r\n" + drawMessage(t, depth+1) + "\r\n"
		}
		return body + "--" + boundary + "--\r\n"
	}
	if kind == 1 && depth < 3 {
		return "Content-Type: message/rfc822\r\n\r\n" + drawMessage(t, depth+1)
	}
	media := rapid.SampledFrom([]string{"text/plain", "text/html", "application/octet-stream"}).Draw(t, "type")
	encoding := rapid.SampledFrom([]string{"", "Content-Transfer-Encoding: 8bit\r\n", "Content-Transfer-Encoding: binary\r\n"}).Draw(t, "encoding")
	content := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\r\n\n =abc\xc3\xa9")))).Draw(t, "content")
	return "Content-Type: " + media + "\r\n" + encoding + "\r\n" + strings.ReplaceAll(string(content), "\n--", "\n- ")
}

func TestEncode7BitKeepsContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := []byte("MIME-Version: 1.0\r\n" + drawMessage(t, 0))
		if _, err := mimetree.Parse(message, mimetree.Options{Messages: true}); err != nil {
			t.Skip("a part's content looks like a boundary")
		}
		checkEncode7Bit(t, message)
	})
}

func checkEncode7Bit(t rapid.TB, message []byte) {
	t.Helper()
	before := bytes.Clone(message)
	got, err := mimetree.Encode7Bit(message)
	if !bytes.Equal(message, before) {
		t.Fatal("the message handed in changed")
	}
	if err != nil {
		return
	}
	if i := bytes.IndexFunc(got, func(r rune) bool { return r >= 0x80 }); i >= 0 {
		t.Fatalf("octet %x at %d", got[i], i)
	}
	if bytes.Equal(got, message) {
		return
	}
	a, b := leaves(t, message), leaves(t, got)
	if len(a) != len(b) {
		t.Fatalf("%d leaves, had %d", len(b), len(a))
	}
	for i := range a {
		// A line break at the very end is no content of base64.
		if b[i] != a[i] {
			t.Fatalf("leaf %d: %q, was %q in\n%q", i, b[i], a[i], got)
		}
	}
}

func FuzzEncode7Bit(f *testing.F) {
	f.Add([]byte("MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" + mixed + "--b\r\n\r\n\xe9\r\n--b--\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n\xe9"))
	f.Add([]byte("Content-Transfer-Encoding: quoted-printable\n\n\xe9=\n=20"))
	f.Fuzz(func(t *testing.T, message []byte) {
		root, err := mimetree.Parse(message, mimetree.Options{Messages: true})
		if err != nil || !readable(root, message) {
			mimetree.Encode7Bit(message)
			return
		}
		checkEncode7Bit(t, message)
	})
}

func readable(p *mimetree.Part, message []byte) bool {
	if len(p.Children) == 0 {
		_, err := p.Content(message)
		return err == nil
	}
	for _, c := range p.Children {
		if !readable(c, message) {
			return false
		}
	}
	return true
}
