package rewrite_test

import (
	"bytes"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
)

// encodings wrap a document into a message.
func encodings(t tester, document []byte) map[string][]byte {
	const head = "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
	var quoted bytes.Buffer
	w := quotedprintable.NewWriter(&quoted)
	if _, err := w.Write(document); err != nil {
		t.Fatal(err)
	}
	w.Close()
	based := mimetree.AppendBase64(nil, document, 76, "\r\n")
	return map[string][]byte{
		"8bit":             append([]byte(head+"8bit\r\n\r\n"), document...),
		"quoted-printable": append([]byte(head+"quoted-printable\r\n\r\n"), quoted.Bytes()...),
		"base64":           append([]byte(head+"base64\r\n\r\n"), append(based, "\r\n"...)...),
	}
}

func TestTemplates(t *testing.T) {
	folder := corpus(t)
	type template struct {
		File string
		inventoryHTML
	}
	for _, c := range readInventory[template](t, filepath.Join(folder, "html-links.jsonl")) {
		document, err := os.ReadFile(filepath.Join(folder, "html", c.File))
		if err != nil {
			t.Fatal(err)
		}
		for name, message := range encodings(t, crlf(document)) {
			t.Run(c.File+"/"+name, func(t *testing.T) {
				r := recorder{pad: strings.Repeat("-_", 60)}
				result, err := rewrite.Rewrite(message, r.options())
				if err != nil {
					t.Fatal(err)
				}
				// The inventory does not look into conditional comments.
				if want := c.web(); !containsInOrder(r.urls, want) {
					t.Errorf("links:\n%q, want\n%q", r.urls, want)
				}
				if !result.Pixel || result.Links != len(r.urls) {
					t.Errorf("pixel %v, %d links of %d", result.Pixel, result.Links, len(r.urls))
				}
				sameMessage(t, message, result.Message, r.urls)
			})
		}
	}
}

func containsInOrder(all, want []string) bool {
	for _, url := range all {
		if len(want) > 0 && squeeze(url) == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

type corpusMessage struct {
	File    string
	Defects []string
	EOL     string
	Parts   []struct {
		Path, Type, Charset, CTE, Disposition string
		HTML                                  *inventoryHTML
	}
}

func TestMessages(t *testing.T) {
	folder := corpus(t)
	for _, c := range readInventory[corpusMessage](t, filepath.Join(folder, "eml-inventory.jsonl")) {
		raw, err := os.ReadFile(filepath.Join(folder, "eml", c.File))
		if err != nil {
			t.Fatal(err)
		}
		for name, message := range map[string][]byte{"raw": raw, "crlf": crlf(raw)} {
			t.Run(c.File+"/"+name, func(t *testing.T) { checkMessage(t, c, message) })
		}
	}
}

func checkMessage(t *testing.T, c corpusMessage, message []byte) {
	handedIn := bytes.Clone(message)
	var r recorder
	result, err := rewrite.Rewrite(message, r.options())
	if !bytes.Equal(message, handedIn) {
		t.Fatal("the message handed in changed")
	}
	if err != nil {
		if !bytes.Equal(result.Message, message) {
			t.Error("an error, and the message changed")
		}
		if len(c.Defects) == 0 {
			t.Logf("left alone: %v", err)
		}
		if want := c.web(); len(c.Defects) == 0 && len(want) > 0 {
			t.Errorf("untracked: %v", want)
		}
		return
	}
	if len(c.Defects) > 0 && !bytes.Equal(result.Message, message) {
		t.Errorf("malformed (%v), and changed", c.Defects)
	}
	if want := c.web(); len(c.Defects) == 0 && (!containsInOrder(want, squeezeAll(r.urls)) || len(want) != len(r.urls)+result.Kept) {
		t.Errorf("links %q and %d kept, want %q (skipped %v)", r.urls, result.Kept, want, result.Skipped)
	}
	sameMessage(t, message, result.Message, r.urls)
}

func (c corpusMessage) web() []string {
	var urls []string
	for _, p := range c.Parts {
		if p.HTML != nil && p.Disposition != "attachment" && !strings.HasPrefix(p.Charset, "utf-16") {
			urls = append(urls, p.HTML.web()...)
		}
	}
	return urls
}

func squeezeAll(urls []string) []string {
	var all []string
	for _, u := range urls {
		all = append(all, squeeze(u))
	}
	return all
}

func TestSevenBitCorpus(t *testing.T) {
	folder := corpus(t)
	for _, c := range readInventory[corpusMessage](t, filepath.Join(folder, "eml-inventory.jsonl")) {
		raw, err := os.ReadFile(filepath.Join(folder, "eml", c.File))
		if err != nil {
			t.Fatal(err)
		}
		message := crlf(raw)
		encoded, err := mimetree.Encode7Bit(message)
		if err != nil {
			t.Logf("%s: %v", c.File, err)
			continue
		}
		if slices.ContainsFunc(encoded, func(b byte) bool { return b >= 0x80 }) {
			t.Errorf("%s: octets above 127", c.File)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	folder := corpus(b)
	names, err := filepath.Glob(filepath.Join(folder, "html", "*.html"))
	if err != nil {
		b.Fatal(err)
	}
	messages := make(map[string][][]byte)
	sizes := make(map[string]int)
	for _, name := range names {
		document, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		for encoding, m := range encodings(b, crlf(document)) {
			messages[encoding] = append(messages[encoding], m)
			sizes[encoding] += len(m)
		}
	}
	o := rewrite.Options{Link: func(string) (string, error) { return clickBase + "token", nil }, Pixel: pixelURL}
	for encoding := range messages {
		b.Run(encoding, func(b *testing.B) {
			b.SetBytes(int64(sizes[encoding]))
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range messages[encoding] {
					if _, err := rewrite.Rewrite(m, o); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
