package dkim_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/mail"
)

func TestBothKeysSign(t *testing.T) {
	keys := bothKeys(t, "example.com")
	message := append(mustSign(t, newSigner(t, keys...), "example.com", []byte(simple)), simple...)
	if all, pass := passing(t, keys, message); all != 2 || pass != 2 {
		t.Errorf("%d of %d signatures pass, want 2 of 2:\n%s", pass, all, message)
	}
	for line := range strings.SplitSeq(string(message), "\r\n") {
		if len(line) > 78 {
			t.Errorf("line of %d octets: %s", len(line), line)
		}
	}
}

func TestGolden(t *testing.T) {
	got := mustSign(t, newSigner(t, bothKeys(t, "example.com")...), "example.com", []byte(simple))
	const path = "testdata/simple.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestChoiceOfKeys(t *testing.T) {
	key := func(domain mail.Domain) dkim.Key {
		return dkim.Key{Domain: domain, Selector: "s", Signer: ed25519Key()}
	}
	signer := newSigner(t, key("example.com"), key("deep.sub.example.com"), key("tenant.example"), key("co.uk"), key("com"), key("localhost"))
	for _, tc := range []struct{ from, fallback, want mail.Domain }{
		{"example.com", "", "example.com"},
		{"news.example.com", "tenant.example", "example.com"},
		{"a.deep.sub.example.com", "", "deep.sub.example.com"},
		{"sub.example.com", "", "example.com"},
		{"notexample.com", "", ""},
		{"notexample.com", "tenant.example", "tenant.example"},
		{"notexample.com", "mail.tenant.example", "tenant.example"},
		{"shop.co.uk", "", ""},
		{"co.uk", "", "co.uk"},
		{"localhost", "", "localhost"},
		{"[192.0.2.1]", "", ""},
		{"", "", ""},
	} {
		var got mail.Domain
		if keys := signer.Keys(tc.from, tc.fallback); len(keys) > 0 {
			got = keys[0].Domain
		}
		if got != tc.want {
			t.Errorf("%q with fallback %q: key of %q, want %q", tc.from, tc.fallback, got, tc.want)
		}
	}
	if headers, err := signer.Sign(t.Context(), "other.example", "", []byte("no message")); headers != nil || err != nil {
		t.Errorf("without a key: %q, %v", headers, err)
	}
}

func TestOversigning(t *testing.T) {
	keys := bothKeys(t, "example.com")
	message := append(mustSign(t, newSigner(t, keys...), "example.com", []byte(simple)), simple...)
	for _, added := range []string{
		"From: eve@example.org", "To: eve@example.org", "Subject: other", "Date: now", "Message-ID: <2>",
		"Reply-To: eve@example.org", "Cc: eve@example.org", "Sender: eve@example.org", "Content-Type: text/html",
		"MIME-Version: 1.0", "Content-Transfer-Encoding: base64", "References: <3>", "In-Reply-To: <3>",
		"List-Unsubscribe: <https://evil.example>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
		"List-Id: <x>", "Feedback-ID: a:b:c:d",
	} {
		if _, pass := passing(t, keys, append([]byte(added+"\r\n"), message...)); pass != 0 {
			t.Errorf("%q can be added without breaking the signature", added)
		}
	}
	for _, added := range []string{"Received: from a by b", "Return-Path: <ann@example.com>", "X-Spam: no", "Authentication-Results: x"} {
		if _, pass := passing(t, keys, append([]byte(added+"\r\n"), message...)); pass != 2 {
			t.Errorf("%q breaks the signature", added)
		}
	}
}

func TestUnsignedFields(t *testing.T) {
	headers := mustSign(t, newSigner(t, bothKeys(t, "example.com")...), "example.com",
		[]byte("Received: from a\r\nReturn-Path: <a@b>\r\nX-Other: 1\r\nList-Help: <mailto:a@b>\r\n"+simple))
	text := strings.ToLower(string(headers))
	for _, name := range []string{"received", "return-path", "x-other"} {
		if strings.Contains(text, name) {
			t.Errorf("%s is signed", name)
		}
	}
	if !strings.Contains(text, "list-help") {
		t.Error("List-Help is not signed")
	}
}

func TestMalformedMessages(t *testing.T) {
	signer := newSigner(t, bothKeys(t, "example.com")...)
	for name, message := range map[string]string{
		"empty":          "",
		"no header end":  "From: a@example.com\r\n",
		"no line end":    "From: a@example.com",
		"no From":        "To: a@example.com\r\n\r\nx",
		"only a body":    "\r\nx",
		"no colon":       "From: a@example.com\r\nwhat is this\r\n\r\nx",
		"mbox line":      "To: b@example.com\r\nFrom a@example.com Mon Jan 1\r\nFrom: a@example.com\r\n\r\nx",
		"only mbox line": "From a@example.com Mon Jan 1\r\n\r\nx",
		"continuation":   " x: y\r\nFrom: a@example.com\r\n\r\nx",
		"empty name":     ": x\r\nFrom: a@example.com\r\n\r\nx",
		"octets in name": "Fr\x80om: x\r\nFrom: a@example.com\r\n\r\nx",
		"bare LF":        "From: a@example.com\n\nx\n",
		"bare LF later":  "From: a@example.com\r\n\r\nx\ny\r\n",
		"bare CR":        "From: a@example.com\r\n\r\nx\ry\r\n",
		"CR at the end":  "From: a@example.com\r\n\r\nx\r",
		"CR CR LF":       "From: a@example.com\r\n\r\nx\r\r\n",
	} {
		if headers, err := signer.Sign(t.Context(), "example.com", "", []byte(message)); !errors.Is(err, dkim.ErrMessage) || headers != nil {
			t.Errorf("%s: %q, %v; want ErrMessage", name, headers, err)
		}
	}
}

func TestUnusualMessages(t *testing.T) {
	keys := bothKeys(t, "example.com")
	signer := newSigner(t, keys...)
	for _, first := range []string{"From a@example.com Mon Jan 1 10:00:00\r\n", "From a@example.com\r\n"} {
		message := []byte(first + simple)
		if _, pass := passing(t, keys, append(mustSign(t, signer, "example.com", message), message...)); pass != 2 {
			t.Errorf("after the mbox line %q: %d of 2 pass", first, pass)
		}
	}
	for _, body := range []string{"", "\r\n", " \r\n\t\r\n\r\n", "x", "x ", " x", "\r\n\r\nx", " \t "} {
		message := []byte("From: a@example.com\r\n\r\n" + body)
		if _, pass := passing(t, keys, append(mustSign(t, signer, "example.com", message), message...)); pass != 2 {
			t.Errorf("body %q: %d of 2 pass", body, pass)
		}
	}
}

// drawMessage makes messages with white space, folds and empty lines in odd
// places.
func drawMessage(t *rapid.T) []byte {
	word := rapid.StringMatching(`[a-zA-Z0-9=;:@<>.é-]{1,12}`)
	space := rapid.SampledFrom([]string{" ", "  ", "\t", " \t ", "\r\n ", "\r\n\t "})
	var b strings.Builder
	names := append([]string{"From"}, rapid.SliceOfN(rapid.SampledFrom([]string{
		"From", "TO", "to", "Subject", "Date", "List-Unsubscribe", "Received", "X-A", "content-type", "DKIM-Signature",
	}), 0, 8).Draw(t, "names")...)
	for _, name := range names {
		b.WriteString(name + rapid.SampledFrom([]string{":", ": ", " :", "\t: "}).Draw(t, "colon"))
		for range rapid.IntRange(0, 4).Draw(t, "words") {
			b.WriteString(word.Draw(t, "word") + space.Draw(t, "space"))
		}
		b.WriteString("end\r\n")
	}
	b.WriteString("\r\n")
	for range rapid.IntRange(0, 12).Draw(t, "pieces") {
		b.WriteString(rapid.OneOf(word, rapid.SampledFrom([]string{" ", "\t", "\r\n", "\r\n", "  "})).Draw(t, "piece"))
	}
	return []byte(b.String())
}

func TestSignedMessagesVerify(t *testing.T) {
	keys := []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: ed25519Key()}}
	signer := newSigner(t, keys...)
	rapid.Check(t, func(r *rapid.T) {
		message := drawMessage(r)
		signed := append(mustSign(t, signer, "example.com", message), message...)
		if _, pass := passing(t, keys, signed); pass != 1 {
			r.Fatalf("does not verify:\n%q", signed)
		}
	})
}

func TestLaterChangesBreakTheSignature(t *testing.T) {
	keys := []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: ed25519Key()}}
	signer := newSigner(t, keys...)
	headers := mustSign(t, signer, "example.com", []byte(simple))
	rapid.Check(t, func(r *rapid.T) {
		changed := []byte(simple)
		i := rapid.IntRange(0, len(changed)-1).Draw(r, "offset")
		old := changed[i]
		changed[i] = rapid.Byte().Draw(r, "octet")
		if bytes.EqualFold(changed, []byte(simple)) && i < strings.Index(simple, "\r\n\r\n") ||
			isSpace(old) && isSpace(changed[i]) {
			return // case of a name or kind of white space: the same to relaxed
		}
		if _, pass := passing(t, keys, append(bytes.Clone(headers), changed...)); pass != 0 {
			r.Fatalf("%q for %q at %d goes unseen", changed[i], old, i)
		}
	})
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// countingKey is an RSA key that notes how many of its operations run at once.
type countingKey struct {
	crypto.Signer
	running, most atomic.Int32
	gate          chan struct{}
}

func (k *countingKey) Sign(random io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	n := k.running.Add(1)
	defer k.running.Add(-1)
	for most := k.most.Load(); n > most && !k.most.CompareAndSwap(most, n); most = k.most.Load() {
	}
	<-k.gate
	return k.Signer.Sign(random, digest, options)
}

func TestRSAIsBounded(t *testing.T) {
	key := &countingKey{Signer: rsaKey(t), gate: make(chan struct{})}
	signer, err := dkim.NewSigner(dkim.Options{Keys: []dkim.Key{{Domain: "example.com", Selector: "s", Signer: key}}, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			if _, err := signer.Sign(t.Context(), "example.com", "", []byte(simple)); err != nil {
				t.Error(err)
			}
		})
	}
	key.gate <- struct{}{}
	close(key.gate)
	callers.Wait()
	if most := key.most.Load(); most > 2 {
		t.Errorf("%d operations at once, want at most 2", most)
	}
}

func TestCancelledWait(t *testing.T) {
	key := &countingKey{Signer: rsaKey(t), gate: make(chan struct{})}
	signer, err := dkim.NewSigner(dkim.Options{Keys: []dkim.Key{{Domain: "example.com", Selector: "s", Signer: key}}, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	first.Go(func() { _, _ = signer.Sign(t.Context(), "example.com", "", []byte(simple)) })
	for key.running.Load() == 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.Sign(ctx, "example.com", "", []byte(simple)); !errors.Is(err, context.Canceled) || errors.Is(err, dkim.ErrMessage) {
		t.Errorf("%v, want context.Canceled", err)
	}
	close(key.gate)
	first.Wait()
}

func TestBadKeys(t *testing.T) {
	good := ed25519Key()
	for name, keys := range map[string][]dkim.Key{
		"no signer":   {{Domain: "example.com", Selector: "s"}},
		"no domain":   {{Selector: "s", Signer: good}},
		"domain":      {{Domain: "Example.com", Selector: "s", Signer: good}},
		"literal":     {{Domain: "[192.0.2.1]", Selector: "s", Signer: good}},
		"selector":    {{Domain: "example.com", Selector: "a b", Signer: good}},
		"injection":   {{Domain: "example.com", Selector: "s;\r\nX: y", Signer: good}},
		"twice":       {{Domain: "example.com", Selector: "s", Signer: good}, {Domain: "example.com", Selector: "S", Signer: good}},
		"no selector": {{Domain: "example.com", Signer: good}},
	} {
		if _, err := dkim.NewSigner(dkim.Options{Keys: keys}); !errors.Is(err, dkim.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
}

func FuzzSign(f *testing.F) {
	f.Add([]byte(simple))
	f.Add([]byte("From:\r\n x\r\n\r\n \r\n\r\n.\r\n\t"))
	f.Add([]byte("FROM : a\r\nDKIM-Signature: v=1; b=x\r\n\r\n"))
	f.Add([]byte("From \r\nFrom:\r\n\r\n"))
	f.Add([]byte("From a\r\nFrom:\r\n\r\n"))
	f.Add([]byte("From: a\r\n\r\na\x00\v\f b\r\n"))
	keys := []dkim.Key{{Domain: "example.com", Selector: "ed", Signer: ed25519Key()}}
	signer := newSigner(f, keys...)
	f.Fuzz(func(t *testing.T, message []byte) {
		headers, err := signer.Sign(t.Context(), "example.com", "", message)
		if err != nil {
			if !errors.Is(err, dkim.ErrMessage) || headers != nil {
				t.Errorf("%q, %v", headers, err)
			}
			return
		}
		if _, pass := passing(t, keys, append(headers, message...)); pass < 1 {
			t.Errorf("does not verify: %q", message)
		}
	})
}

// TestAligns tells whether what is signed is also aligned: a key of the
// fallback domain signs any mail.
func TestAligns(t *testing.T) {
	signer := newSigner(t, bothKeys(t, "mail.example.com")...)
	for _, test := range []struct {
		from, fallback mail.Domain
		want           bool
	}{
		{"mail.example.com", "", true},
		{"a.mail.example.com", "", true},
		{"example.com", "", false},
		{"example.com", "mail.example.com", true},
		{"shop.example.com", "mail.example.com", true},
		{"example.org", "mail.example.com", false},
		{"com", "mail.example.com", false},
		{"example.com", "example.net", false},
		{"", "mail.example.com", false},
	} {
		if got := signer.Aligns(test.from, test.fallback); got != test.want {
			t.Errorf("%q with %q: %v", test.from, test.fallback, got)
		}
	}
}
