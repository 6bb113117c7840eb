package mimetree_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// tree writes a structure as type(child child).
func tree(p *mimetree.Part, message string) string {
	if len(p.Children) == 0 {
		return fmt.Sprintf("%s%q", p.Type, message[p.Body:p.End])
	}
	var children []string
	for _, c := range p.Children {
		children = append(children, tree(c, message))
	}
	return p.Type + "(" + strings.Join(children, " ") + ")"
}

const mixed = "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"no header":           {"\r\nhello", `text/plain"hello"`},
		"no body":             {"Subject: x\r\n", `text/plain""`},
		"nothing":             {"", `text/plain""`},
		"bare line feeds":     {"A: b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n", `multipart/mixed(text/plain"x")`},
		"preamble, epilogue":  {mixed + "pre\r\n--b\r\n\r\nx\r\n\r\n--b  \r\nContent-Type: text/html\r\n\r\ny\r\n--b--\r\nepi\r\n--b\r\n", `multipart/mixed(text/plain"x\r\n" text/html"y")`},
		"empty parts":         {mixed + "--b\r\n--b\r\n\r\n--b--", `multipart/mixed(text/plain"" text/plain"")`},
		"longer boundary":     {mixed + "--b\r\n\r\n--bc\r\n--b-\r\n--b--x\r\n--b--", `multipart/mixed(text/plain"--bc\r\n--b-\r\n--b--x")`},
		"nested":              {mixed + "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\nx\r\n--bb--\r\n--b--\r\n", `multipart/mixed(multipart/alternative(text/plain"x"))`},
		"digest":              {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--", `multipart/digest(message/rfc822"Subject: x\r\n\r\ny")`},
		"mbox":                {"From a@b Mon\r\nContent-Type: text/html\r\n\r\nx", `text/html"x"`},
		"upper case, comment": {"CONTENT-TYPE: (c (d\\)) e) Text/HTML (x); CHARSET=\"a\\\"b\"\r\n\r\nx", `text/html"x"`},
		"bad type":            {"Content-Type: html\r\n\r\nx", `text/plain"x"`},
		"folded boundary":     {"Content-Type: multipart/mixed;\r\n\tboundary=\"----=_x y=\"\r\n\r\n------=_x y=\r\n\r\nx\r\n------=_x y=--", `multipart/mixed(text/plain"x")`},
		"repeated alike":      {"Content-Type: text/html\r\nContent-Type:  text/html\r\n\r\nx", `text/html"x"`},
	} {
		root, err := mimetree.Parse([]byte(c.message), mimetree.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := tree(root, c.message); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestParseMessages(t *testing.T) {
	const message = "Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\nx"
	root, err := mimetree.Parse([]byte(message), mimetree.Options{Messages: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tree(root, message), `message/rfc822(text/html"x")`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	deep := ""
	for i := range 40 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n", i, i)
	}
	for i := 39; i >= 0; i-- {
		deep += fmt.Sprintf("\r\n--b%d.--", i)
	}
	for name, c := range map[string]struct {
		message string
		want    error
	}{
		"no field":            {"Subject: x\r\nhello\r\n\r\n", mimetree.ErrMalformed},
		"continuation first":  {" x\r\n\r\n", mimetree.ErrMalformed},
		"space in name":       {"Subject : x\r\n\r\n", mimetree.ErrMalformed},
		"no boundary":         {"Content-Type: multipart/mixed\r\n\r\nx", mimetree.ErrMalformed},
		"two boundaries":      {"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--b\r\n--b--", mimetree.ErrMalformed},
		"extended boundary":   {"Content-Type: multipart/mixed; boundary*=''b\r\n\r\n--b\r\n--b--", mimetree.ErrMalformed},
		"open quote":          {"Content-Type: multipart/mixed; boundary=\"b\r\n\r\n--b\r\n--b--", mimetree.ErrMalformed},
		"no parts":            {mixed + "x", mimetree.ErrMalformed},
		"only an end":         {mixed + "--b--", mimetree.ErrMalformed},
		"no end":              {mixed + "--b\r\n\r\nx\r\n", mimetree.ErrMalformed},
		"inner without end":   {mixed + "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--b--", mimetree.ErrMalformed},
		"the same boundary":   {mixed + "--b\r\n" + mixed + "--b\r\n\r\nx\r\n--b--\r\n--b--", mimetree.ErrMalformed},
		"encoded multipart":   {"Content-Transfer-Encoding: base64\r\n" + mixed + "--b\r\n\r\n--b--", mimetree.ErrMalformed},
		"two types":           {"Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\n", mimetree.ErrMalformed},
		"two encodings":       {"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n", mimetree.ErrMalformed},
		"too deep":            {deep, mimetree.ErrTooComplex},
		"too many parts":      {mixed + strings.Repeat("--b\r\n\r\n", 5000) + "--b--", mimetree.ErrTooComplex},
		"header in part torn": {mixed + "--b\r\nx\r\n--b--", mimetree.ErrMalformed},
	} {
		if _, err := mimetree.Parse([]byte(c.message), mimetree.Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDescription(t *testing.T) {
	const message = "Content-Type: text/html; charset= \"UTF-8\"; name*0=a; name*1=b;;\r\n" +
		"Content-Disposition: INLINE (really)\r\nContent-Transfer-Encoding: Quoted-Printable ; x\r\n\r\n"
	p, err := mimetree.Parse([]byte(message), mimetree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Charset != "utf-8" || p.Disposition != "inline" || !p.Named || p.Encoding != mimetree.EncodingQuotedPrintable {
		t.Errorf("%+v", p)
	}
	for value, want := range map[string]mimetree.Encoding{
		"8BIT": mimetree.EncodingIdentity, "binary": mimetree.EncodingIdentity, "base64": mimetree.EncodingBase64, "x-uuencode": mimetree.EncodingUnknown,
	} {
		p, err := mimetree.Parse([]byte("Content-Transfer-Encoding: "+value+"\r\n\r\n"), mimetree.Options{})
		if err != nil || p.Encoding != want {
			t.Errorf("%s: %d, %v", value, p.Encoding, err)
		}
	}
}

func TestHeader(t *testing.T) {
	h, err := mimetree.ParseHeader([]byte("A: 1\r\nb:\r\n 2\r\n\t3 \r\na: 4\r\n\r\nbroken"))
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, f := range slices.Concat(h.Find("a"), h.Find("B")) {
		values = append(values, h.Value(f))
	}
	if want := []string{"1", "4", "2\t3"}; !slices.Equal(values, want) {
		t.Errorf("%q, want %q", values, want)
	}
}
