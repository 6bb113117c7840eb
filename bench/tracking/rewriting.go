package main

import (
	"bytes"
	"errors"
	"fmt"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// templates are HTML documents with CRLF line ends.
type templates struct {
	documents [][]byte
	from      string
}

func (t templates) String() string { return fmt.Sprintf("%d documents %s", len(t.documents), t.from) }

// readTemplates reads a folder; without a name that of the test corpus beside
// the module, and where there is none it makes documents up.
func readTemplates(folder string) (templates, error) {
	if folder == "" {
		root := os.Getenv("POSTRIDER_CORPUS")
		if root == "" {
			root = filepath.Join("..", "shared", "corpus")
		}
		folder = filepath.Join(root, "mime", "html")
		if _, err := os.Stat(folder); err != nil {
			return madeUp(), nil
		}
	}
	names, err := filepath.Glob(filepath.Join(folder, "*.html"))
	if err != nil {
		return templates{}, err
	}
	t := templates{from: "from " + folder}
	for _, name := range names {
		document, err := os.ReadFile(name)
		if err != nil {
			return templates{}, err
		}
		document = bytes.ReplaceAll(document, []byte("\r\n"), []byte("\n"))
		t.documents = append(t.documents, bytes.ReplaceAll(document, []byte("\n"), []byte("\r\n")))
	}
	if len(t.documents) == 0 {
		return templates{}, errors.New(folder + " has no templates")
	}
	return t, nil
}

// madeUp is a newsletter of 30 KB with 40 links.
func madeUp() templates {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\r\n<html><head><style>td{padding:0}</style></head><body>\r\n<table width=\"600\">\r\n")
	for i := range 40 {
		fmt.Fprintf(&b, "<tr><td style=\"font-family:Arial,sans-serif;font-size:14px;color:#333333\"><a href=\"https://shop.example/offers/%d?ref=news&amp;n=%d\" style=\"color:#0b4f9e\">Offer %d</a>\r\n%s</td></tr>\r\n",
			i, i, i, bytes.Repeat([]byte("Words about this offer and what it costs. "), 12))
	}
	b.WriteString("</table>\r\n</body></html>\r\n")
	return templates{documents: [][]byte{b.Bytes()}, from: "made up"}
}

// encodings are the transfer encodings in which each template is rewritten.
func encodings() []string { return []string{"8bit", "quoted-printable", "base64"} }

// messages wraps the templates, and returns their size in octets.
func (t templates) messages(encoding string) (messages [][]byte, octets int64, err error) {
	const head = "From: news@shop.example\r\nTo: reader@example.net\r\nSubject: News\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
	for _, document := range t.documents {
		m := bytes.NewBufferString(head + encoding + "\r\n\r\n")
		switch encoding {
		case "base64":
			m.Write(mimetree.AppendBase64(nil, document, 76, "\r\n"))
			m.WriteString("\r\n")
		case "quoted-printable":
			w := quotedprintable.NewWriter(m)
			if _, err := w.Write(document); err != nil {
				return nil, 0, err
			}
			if err := w.Close(); err != nil {
				return nil, 0, err
			}
		default:
			m.Write(document)
		}
		messages = append(messages, m.Bytes())
		octets += int64(m.Len())
	}
	return messages, octets, nil
}

// rewriting is what rendering costs in one encoding.
type rewriting struct {
	encoding string
	// perSecond is in octets of the message handed in; allocations and
	// allocated, in octets, are for each message.
	perSecond              float64
	allocations, allocated int64
	links                  int
}

// measureRewriting renders every template for one reader: links with their
// tokens, the pixel and the header fields, as the daemon does.
func measureRewriting(t templates) ([]rewriting, error) {
	keys, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		return nil, err
	}
	links, err := tracking.NewLinks("https://t.shop.example", keys)
	if err != nil {
		return nil, err
	}
	reader, err := mail.ParseAddress("reader@example.net")
	if err != nil {
		return nil, err
	}
	options := tracking.RenderOptions{
		Links: links, Message: [12]byte{1}, Tenant: "shop", Stream: "marketing", Address: reader,
		Opens: true, Clicks: true, Unsubscribe: true,
	}
	var all []rewriting
	for _, encoding := range encodings() {
		messages, octets, err := t.messages(encoding)
		if err != nil {
			return nil, err
		}
		one, err := measureMessages(messages, octets, options)
		if err != nil {
			return nil, err
		}
		one.encoding = encoding
		all = append(all, one)
	}
	return all, nil
}

func measureMessages(messages [][]byte, octets int64, options tracking.RenderOptions) (rewriting, error) {
	var r rewriting
	for _, m := range messages {
		_, rendered, err := tracking.Render(m, options)
		if err = errors.Join(err, rendered.Untouched); err != nil {
			return r, err
		}
		r.links += rendered.Links
	}
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, m := range messages {
				if _, _, err := tracking.Render(m, options); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	n := int64(len(messages))
	r.perSecond = float64(octets) * float64(result.N) / result.T.Seconds()
	r.allocations, r.allocated = result.AllocsPerOp()/n, result.AllocedBytesPerOp()/n
	return r, nil
}
