package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/html"
)

// letterFile is the newsletter, seen from the top of the repository.
const letterFile = "test/newsletter.eml"

// newsletter is the letter with the control headers of its campaign.
func newsletter() ([]byte, error) {
	content, err := os.ReadFile(letterFile)
	if err != nil {
		return nil, err
	}
	control := "X-Postrider-Stream: marketing\r\nX-Postrider-Campaign: " + campaign + "\r\n" +
		"X-Postrider-Tag: readings\r\nX-Postrider-Metadata: {\"issue\": 11}\r\n"
	return append([]byte(control), bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))...), nil
}

// message is one that a mail exchanger received.
type message struct {
	number    int
	recipient string
	content   []byte
}

// readMailbox reads what the sink kept: NNNN.eml with its envelope in
// NNNN.json.
func readMailbox(dir string) ([]message, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var messages []message
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		encoded, err := os.ReadFile(strings.TrimSuffix(file, ".eml") + ".json")
		if err != nil {
			return nil, err
		}
		var envelope struct {
			Recipients []struct{ Address string } `json:"recipients"`
		}
		if err := json.Unmarshal(encoded, &envelope); err != nil {
			return nil, err
		}
		if len(envelope.Recipients) != 1 {
			return nil, fmt.Errorf("%s: %d recipients share one tracked copy", file, len(envelope.Recipients))
		}
		messages = append(messages, message{i, envelope.Recipients[0].Address, content})
	}
	return messages, nil
}

// verifier checks DKIM signatures against the name server.
type verifier struct{ resolver *net.Resolver }

func newVerifier(server string) *verifier {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}
	return &verifier{&net.Resolver{PreferGo: true, Dial: dial}}
}

// verify returns how many signatures the message has; all must be good.
func (v *verifier) verify(ctx context.Context, content []byte) (int, error) {
	lookup := func(name string) ([]string, error) { return v.resolver.LookupTXT(ctx, name) }
	verifications, err := dkim.VerifyWithOptions(bytes.NewReader(content), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		return 0, err
	}
	if len(verifications) == 0 {
		return 0, errors.New("no DKIM signature")
	}
	for _, one := range verifications {
		if one.Err != nil {
			return 0, one.Err
		}
	}
	return len(verifications), nil
}

// page is the HTML part as a mail program shows it.
type page struct {
	pixels []string
	links  []string
}

func (m *message) html() (*page, error) {
	reader, err := mail.CreateReader(bytes.NewReader(m.content))
	if err != nil {
		return nil, err
	}
	for {
		part, err := reader.NextPart()
		if err != nil {
			return nil, fmt.Errorf("message %d has no HTML part: %w", m.number, err)
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			return parsePage(part.Body)
		}
	}
}

func parsePage(r io.Reader) (*page, error) {
	root, err := html.Parse(r)
	if err != nil {
		return nil, err
	}
	p := &page{}
	for node := range root.Descendants() {
		for _, attribute := range node.Attr {
			switch {
			case node.Data == "img" && attribute.Key == "src":
				p.pixels = append(p.pixels, attribute.Val)
			case node.Data == "a" && attribute.Key == "href" && strings.HasPrefix(attribute.Val, "http"):
				p.links = append(p.links, attribute.Val)
			}
		}
	}
	return p, nil
}

func (p *page) fetchPixel(ctx context.Context, browser *http.Client) error {
	if len(p.pixels) != 1 {
		return fmt.Errorf("%d pixels instead of one", len(p.pixels))
	}
	response, err := get(ctx, browser, p.pixels[0])
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "image/gif" {
		return fmt.Errorf("pixel: %s %s", response.Status, response.Header.Get("Content-Type"))
	}
	return nil
}

// click follows the nth link of the page and looks where it leads.
func (p *page) click(ctx context.Context, browser *http.Client, n int) error {
	if len(p.links) < 3 {
		return fmt.Errorf("only %d links", len(p.links))
	}
	response, err := get(ctx, browser, p.links[n%len(p.links)])
	if err != nil {
		return err
	}
	target := response.Header.Get("Location")
	if !strings.HasPrefix(target, "https://www.harbour-books.example/") {
		return fmt.Errorf("a link leads to %q (%s)", target, response.Status)
	}
	return nil
}

// unsubscribe does what a mail program does for its button (RFC 8058).
func (m *message) unsubscribe(ctx context.Context, browser *http.Client) error {
	reader, err := mail.CreateReader(bytes.NewReader(m.content))
	if err != nil {
		return err
	}
	if post := reader.Header.Get("List-Unsubscribe-Post"); post != "List-Unsubscribe=One-Click" {
		return fmt.Errorf("List-Unsubscribe-Post is %q", post)
	}
	target, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(reader.Header.Get("List-Unsubscribe")), "<"), ">")
	if !ok {
		return errors.New("no List-Unsubscribe")
	}
	form := url.Values{"List-Unsubscribe": {"One-Click"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("unsubscribe: %s", response.Status)
	}
	return nil
}

func get(ctx context.Context, browser *http.Client, target string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := browser.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response, err
}
