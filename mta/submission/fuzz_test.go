package submission

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission/foreign"
)

func FuzzControlHeaders(f *testing.F) {
	f.Add("X-Postrider-Expires: 4h\r\nX-Postrider-Send-At: 1\r\n\r\n")
	f.Add("X-Postrider-Tag: x\r\nX-Postrider-Metadata: {\"a\":1}\r\nX-Postrider-Send-At: 1\r\n\r\n")
	f.Add("X-Postrider-Campaign: =?utf-8?q?=C3=BC?=\r\nX-Postrider-Track: ALL\r\n")
	f.Add("X-Postrider-\xff: \r\n\r\n")
	f.Add("X-SMTPAPI: {\"category\":[\"a\"],\"filters\":{\"clicktrack\":{\"settings\":{\"enable\":0}}}}\r\nX-PM-Metadata-a: b\r\n\r\n")
	f.Add("X-Mailgun-Variables: {\"a\":1}\r\nX-MC-SendAt: 2026-01-01 00:00:00\r\nX-SES-MESSAGE-TAGS: a=b\r\nX-Postrider-UTM: a={tag}\r\nX-Postrider-Track-Text: yes\r\n\r\n")
	who := sender{tenant: accounts().tenants["acme"], vendors: foreign.Names()}
	now := time.Unix(1e9, 0)
	f.Fuzz(func(t *testing.T, message string) {
		h, err := parseHeader([]byte(message))
		if err != nil {
			return
		}
		c, err := parseControls(h, who, now)
		if err != nil {
			if r := asRefusal(err); r.code != 550 || len(r.line()) > 512 {
				t.Fatalf("%+v", r)
			}
			return
		}
		if _, err := account.ParseUTM(c.utm.String()); len(c.utm) > 0 && err != nil {
			t.Fatalf("%+v", c.utm)
		}
		if len(c.tags) > maxTags || len(c.metadata) > maxMetadata || c.sendAt.After(now.Add(maxAhead)) {
			t.Fatalf("%+v", c)
		}
	})
}

func FuzzMailboxes(f *testing.F) {
	f.Add(`A <a@b.c>, "x" <d@e.f>; g: (c) h@i.j;`)
	f.Add(`"\"" <@r:"a"@b.c>`)
	f.Fuzz(func(t *testing.T, value string) {
		mailboxes, err := parseMailboxes(value)
		if err != nil {
			return
		}
		var texts []string
		for _, m := range mailboxes {
			texts = append(texts, m.String())
		}
		again, err := parseMailboxes(strings.Join(texts, ", "))
		if err != nil || len(again) != len(mailboxes) {
			t.Fatalf("%q: %q, then %v %v", value, texts, again, err)
		}
	})
}

// FuzzCompose completes any message; what comes out must read as it was meant.
func FuzzCompose(f *testing.F) {
	f.Add("From: a@example.com\r\nBcc: x@y.z\r\n z\r\n\r\nbody")
	f.Add("From: a@example.com\r\nno field\r\nBcc: x\r\n")
	f.Add("From:\r\n00")
	f.Add("From x 10:00\r\nFrom: a@example.com\r\n : \r\n\r\n")
	server, err := New(func() Options { o := options(trusted()); o.Store = &memory{}; return o }())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message string) {
		d := &draft{
			server:      server,
			transaction: &transaction{sender: sender{any: true, tenant: accounts().tenants["hidden"]}},
		}
		b := server.buffers.lend()
		defer b.release()
		b.octets = append(b.octets, message...)
		submission, err := d.compose(b)
		if err != nil {
			return
		}
		if err := checkContent(submission.Body); err != nil {
			t.Fatal(err)
		}
		h, err := parseHeader(submission.Body)
		if err != nil {
			return // at the limit before, above it now
		}
		if h.count("From") != 1 || h.count("Bcc") != 0 || !h.has("Date") || !h.has("Message-ID") || !h.fields[0].is("Received") {
			t.Fatalf("%q became %q", message, submission.Body)
		}
		for _, field := range h.fields {
			if isControl(field) {
				t.Fatalf("%q became %q", message, submission.Body)
			}
		}
		original, _ := parseHeader([]byte(message))
		if content := bytes.TrimSuffix(h.content, []byte("\r\n")); !bytes.Equal(content, bytes.TrimSuffix(original.content, []byte("\r\n"))) {
			t.Fatalf("content %q became %q", original.content, h.content)
		}
	})
}

// panicLog fails a test when go-smtp had to recover.
type panicLog struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (p *panicLog) Handle(_ context.Context, r slog.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		p.all = append(p.all, r.Message+" "+a.String())
		return true
	})
	return nil
}

func (p *panicLog) Enabled(context.Context, slog.Level) bool { return true }

// FuzzCommands says anything to the server. It must neither panic nor hang,
// and what it takes must be a clean message.
func FuzzCommands(f *testing.F) {
	f.Add([]byte("EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@c.d>\r\nDATA\r\nFrom: a@example.com\r\n\r\nx\r\n.\r\nQUIT\r\n"))
	f.Add([]byte("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@c.d>\r\nBDAT 5\r\nFrom:BDAT 0 LAST\r\nRSET\r\nBDAT 3 LAST\r\nabcNOOP\r\n"))
	f.Add([]byte("EHLO c\r\nAUTH LOGIN\r\nBDAT 5\r\n*\r\nAUTH PLAIN AGFwcABwYXNzd29yZA==\r\nSTARTTLS\r\n\x16\x03"))
	f.Add([]byte("HELO c\nMAIL FROM:<\"a@b\"@example.com> SIZE=99999999999\r\n\x00\r\n"))
	o := options(trusted())
	store := &memory{}
	log := &panicLog{Handler: slog.DiscardHandler}
	o.Store, o.Logger = store, slog.New(log)
	o.Limits.AuthDelay = time.Nanosecond
	server, err := New(o)
	if err != nil {
		f.Fatal(err)
	}
	l := trusted()
	f.Fuzz(func(t *testing.T, stream []byte) {
		ours, theirs := net.Pipe()
		var done sync.WaitGroup
		done.Go(func() { server.serve(ours, l) })
		done.Go(func() { io.Copy(io.Discard, theirs) })
		theirs.Write(stream)
		theirs.Close()
		done.Wait()
		store.mu.Lock()
		for _, s := range store.accepted {
			if err := checkContent(s.Body); err != nil || len(s.Recipients) == 0 {
				t.Errorf("accepted %q: %v", s.Body, err)
			}
		}
		store.accepted = nil
		store.mu.Unlock()
		log.mu.Lock()
		defer log.mu.Unlock()
		for _, line := range log.all {
			if strings.Contains(line, "panic") {
				t.Error(line)
			}
		}
		log.all = nil
		if held := server.buffers.held.Load(); held != 0 {
			t.Errorf("%d octets are still held", held)
		}
	})
}

// However the stream is cut, the end of data and the dots are found where a
// plain reading finds them.
func TestUnstuffing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := rapid.StringMatching(`([.x]|\r|\n|\r\n|\r\n\.){0,40}`).Draw(t, "stream") + "\r\n.\r\nrest"
		end := strings.Index("\r\n"+stream, "\r\n.\r\n") // the first line may be the dot
		body := ("\r\n" + stream)[:end+2]
		want := strings.ReplaceAll(body, "\r\n.", "\r\n")

		octets := []byte("\r\n")
		u := unstuffer{kept: 2, segment: 2}
		for rest := stream; !u.advance(octets); {
			if rest == "" {
				t.Fatalf("no end in %q", stream)
			}
			n := rapid.IntRange(1, len(rest)).Draw(t, "octets")
			octets, rest = append(octets, rest[:n]...), rest[n:]
		}
		if got := string(octets[:u.kept]); got != want {
			t.Fatalf("%q: %q, want %q", stream, got, want)
		}
		if want := len(body) + len(".\r\n"); u.end != want {
			t.Fatalf("%q ends at %d, want %d", stream, u.end, want)
		}
	})
}
