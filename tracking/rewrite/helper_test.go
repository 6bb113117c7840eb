package rewrite_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"golang.org/x/net/html"
)

const (
	trackerHost = "t.example"
	clickBase   = "https://" + trackerHost + "/c/"
	pixelURL    = "https://" + trackerHost + "/o/pixel.gif"
	pixelTag    = `<img src="` + pixelURL + `" width="1" height="1" alt="" style="border:0">`
)

// tester is what the helpers need of testing.TB and rapid.TB.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// recorder gives each link a number and remembers what it stands for.
type recorder struct {
	urls []string
	pad  string
}

func (r *recorder) link(url string) (string, error) {
	r.urls = append(r.urls, url)
	return clickBase + strconv.Itoa(len(r.urls)-1) + "." + r.pad, nil
}

func (r *recorder) options() rewrite.Options {
	return rewrite.Options{Link: r.link, Pixel: pixelURL, KeepHosts: []string{trackerHost}}
}

func replacement() *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(clickBase) + `(\d+)\.[-_]*`)
}

// restore holds that content, less the pixel, differs from the original in the
// values of links alone, and that each stands for what was there.
func restore(original, content string, urls []string) error {
	content = strings.Replace(content, pixelTag, "", 1)
	rest := original
	at := 0
	for _, m := range replacement().FindAllStringSubmatchIndex(content, -1) {
		piece, end := content[at:m[0]], m[1]
		stop := "> \t\r\n"
		if strings.HasPrefix(rest, piece) {
			if last := piece[len(piece)-1:]; last == `"` || last == "'" {
				stop = last
			}
		} else {
			// The value had no quotes and has them now.
			piece = strings.TrimSuffix(piece, `"`)
			end++
		}
		if !strings.HasPrefix(rest, piece) {
			return fmt.Errorf("what is before %q changed: %s", content[m[0]:m[1]], difference(rest, piece))
		}
		rest = rest[len(piece):]
		cut := strings.IndexAny(rest, stop)
		if cut < 0 {
			return fmt.Errorf("what is behind %q changed", content[m[0]:m[1]])
		}
		n, _ := strconv.Atoi(content[m[2]:m[3]])
		if got := html.UnescapeString(rest[:cut]); squeeze(got) != squeeze(urls[n]) {
			return fmt.Errorf("link %d stands for %q, was %q", n, urls[n], got)
		}
		rest = rest[cut:]
		at = end
	}
	if content[at:] != rest {
		return fmt.Errorf("the end changed: %s", difference(rest, content[at:]))
	}
	return nil
}

func squeeze(url string) string {
	return strings.NewReplacer("\t", "", "\r", "", "\n", "", " ", "").Replace(url)
}

// shape is what an HTML5 parser sees: the tree without href of a and area and
// without the pixel, the text, and the links.
type shape struct {
	skeleton string
	text     string
	links    []string
	pixels   int
}

func parse(t tester, content string) shape {
	t.Helper()
	root, err := html.ParseWithOptions(strings.NewReader(content), html.ParseOptionEnableScripting(true))
	if err != nil {
		t.Fatal(err)
	}
	var s shape
	var skeleton, text strings.Builder
	s.walk(root, &skeleton, &text)
	s.skeleton, s.text = skeleton.String(), text.String()
	return s
}

func (s *shape) walk(n *html.Node, skeleton, text *strings.Builder) {
	switch n.Type {
	case html.TextNode:
		if n.Parent == nil || n.Parent.Data != "noscript" {
			text.WriteString(n.Data)
		}
	case html.ElementNode:
		if n.Data == "img" && len(n.Attr) > 0 && n.Attr[0].Val == pixelURL {
			s.pixels++
			return
		}
		fmt.Fprintf(skeleton, "<%s", n.Data)
		for _, a := range n.Attr {
			if (n.Data == "a" || n.Data == "area") && a.Key == "href" {
				s.links = append(s.links, a.Val)
				skeleton.WriteString(" href")
				continue
			}
			fmt.Fprintf(skeleton, " %s=%q", a.Key, a.Val)
		}
		skeleton.WriteString(">")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		s.walk(c, skeleton, text)
	}
	if n.Type == html.ElementNode {
		skeleton.WriteString("</>")
	}
}

// sameShape holds that a parser sees the same before and after.
func sameShape(t tester, before, after string) {
	t.Helper()
	a, b := parse(t, before), parse(t, after)
	if a.skeleton != b.skeleton {
		t.Errorf("the tree changed:\n%s\n%s", difference(a.skeleton, b.skeleton), "")
	}
	if a.text != b.text {
		t.Errorf("the text changed: %s", difference(a.text, b.text))
	}
}

func difference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-40)
	return fmt.Sprintf("at %d: %.120q, was %.120q", i, b[min(from, len(b)):], a[min(from, len(a)):])
}

// sameMessage holds that everything but HTML parts is byte for byte the same,
// and that those differ in links and pixel alone.
func sameMessage(t tester, before, after []byte, urls []string) {
	t.Helper()
	a, err := mimetree.Parse(before, mimetree.Options{})
	if err != nil {
		t.Fatalf("before: %v", err)
	}
	b, err := mimetree.Parse(after, mimetree.Options{})
	if err != nil {
		t.Fatalf("after: %v", err)
	}
	samePart(t, a, b, before, after, urls)
}

func samePart(t tester, a, b *mimetree.Part, before, after []byte, urls []string) {
	t.Helper()
	if len(a.Children) != len(b.Children) {
		t.Fatalf("%s: %d parts, had %d", a.Type, len(b.Children), len(a.Children))
	}
	ah, bh := string(before[a.Header.Start:a.Body]), string(after[b.Header.Start:b.Body])
	if ah != bh && b.Encoding == a.Encoding {
		t.Errorf("%s: the header is %q, was %q", a.Type, bh, ah)
	}
	atA, atB := a.Body, b.Body
	for i := range a.Children {
		ca, cb := a.Children[i], b.Children[i]
		if gap, was := after[atB:cb.Header.Start], before[atA:ca.Header.Start]; !bytes.Equal(gap, was) {
			t.Errorf("%s: before part %d: %q, was %q", a.Type, i, gap, was)
		}
		samePart(t, ca, cb, before, after, urls)
		atA, atB = ca.End, cb.End
	}
	if gap, was := string(after[atB:b.End]), string(before[atA:a.End]); gap != was {
		if a.Type != "text/html" || len(a.Children) > 0 {
			t.Errorf("%s: %.80q, was %.80q", a.Type, gap, was)
			return
		}
		x, y := decoded(t, a, was), decoded(t, b, gap)
		if err := restore(x, y, urls); err != nil {
			t.Error(err)
		}
		sameShape(t, x, y)
		checkLines(t, a, b, was, gap)
	}
}

// decoded reads a body with the standard library's decoders.
func decoded(t tester, p *mimetree.Part, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	switch p.Encoding {
	case mimetree.EncodingQuotedPrintable:
		r = quotedprintable.NewReader(r)
	case mimetree.EncodingBase64:
		r = base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.NewReplacer(" ", "", "\t", "").Replace(body)))
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return string(content)
}

// checkLines holds that no line became longer than it may be.
func checkLines(t tester, a, b *mimetree.Part, before, after string) {
	t.Helper()
	limit := 998
	if b.Encoding != mimetree.EncodingIdentity {
		limit = 76
	}
	longest := func(s string) (n int) {
		for line := range strings.Lines(s) {
			n = max(n, len(strings.TrimRight(line, "\r\n")))
		}
		return n
	}
	if was := longest(before); a.Encoding == b.Encoding {
		limit = max(limit, was)
	}
	if n := longest(after); n > limit {
		t.Errorf("a line of %d", n)
	}
}

// corpus returns the folder of MIME samples or skips the test.
func corpus(t testing.TB) string {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				root = filepath.Join(filepath.Dir(dir), "shared", "corpus")
				break
			}
		}
	}
	folder := filepath.Join(root, "mime")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no corpus at %s: set POSTRIDER_CORPUS", folder)
	}
	return folder
}

type inventoryLink struct {
	Tag, Attr, Value, Class string
}

type inventoryHTML struct {
	Links []inventoryLink
}

// web returns the targets that are to be tracked.
func (h inventoryHTML) web() []string {
	var urls []string
	for _, l := range h.Links {
		if (l.Tag == "a" || l.Tag == "area") && l.Attr == "href" && l.Class == "http" {
			urls = append(urls, squeeze(l.Value))
		}
	}
	return urls
}

func readInventory[T any](t tester, file string) []T {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var one T
		if err := d.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
