package load

import (
	"bytes"
	"context"
	"errors"
	"net/mail"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func work(address netip.AddrPort) Work {
	return Work{
		Address: address.String(), Sessions: 4, Messages: 50, Size: 10 << 10,
		Domains: []string{"a.example", "b.example"}, Sender: "news@bench.example", Header: "X-Stream: one\r\n",
	}
}

// TestGenerate proves that each message comes once, whole and well formed.
func TestGenerate(t *testing.T) {
	server, address := testmx.Start(t, testmx.Options{Keep: true, Strict: true})
	span, err := work(address).Generate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if span.First.IsZero() || span.Last.Before(span.First) {
		t.Error(span)
	}
	if wrong := server.Violations(); len(wrong) > 0 {
		t.Error(wrong)
	}
	seen := map[string]bool{}
	for _, m := range server.Messages() {
		seen[m.Recipients[0].Address] = true
		checkLetter(t, m)
	}
	if c := server.Counters(); len(seen) != 50 || c.Domains["a.example"].Accepted != 25 || c.Peak != 4 {
		t.Errorf("%d readers, %+v", len(seen), c)
	}
}

func checkLetter(t *testing.T, m *testmx.Message) {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header.Get("To") != "<"+m.Recipients[0].Address+">" || parsed.Header.Get("X-Stream") != "one" {
		t.Errorf("%v", parsed.Header)
	}
	if n := bytes.Count(m.Data, []byte("<a href=")); n != Links {
		t.Errorf("%d links", n)
	}
	if len(m.Data) < 10<<10-50 || len(m.Data) > 10<<10+50 {
		t.Errorf("%d octets", len(m.Data))
	}
}

// TestGenerateRefused proves that a refusal ends the work and is told.
func TestGenerateRefused(t *testing.T) {
	_, address := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{{
		Command: testmx.RCPT, Pattern: "reader30@*", Action: testmx.Action{Reply: "550 5.1.1 nobody"},
	}}})
	_, err := work(address).Generate(t.Context())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "550 5.1.1") {
		t.Error(err)
	}
}

func TestGenerateCancelled(t *testing.T) {
	_, address := testmx.Start(t, testmx.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := work(address).Generate(ctx); err == nil {
		t.Error("no error")
	}
}

// TestProse proves that text has the size asked for and only whole lines, none
// of which would end a message.
func TestProse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(3, 5000).Draw(t, "size")
		text := prose(size)
		if len(text) != size || !strings.HasSuffix(text, "\r\n") {
			t.Fatalf("%d: %q", size, text)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
			if line == "" || line[0] == '.' || strings.ContainsAny(line, "\r\n") {
				t.Fatalf("%d: %q", size, text)
			}
		}
	})
}
