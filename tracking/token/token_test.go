package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/token"
	"pgregory.net/rapid"
)

func key(t testing.TB, fill byte) token.Key {
	t.Helper()
	k, err := token.MakeKey(bytes.Repeat([]byte{fill}, token.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t testing.TB, active token.ID, ids ...token.ID) *token.Keyring {
	t.Helper()
	keys := make(map[token.ID]token.Key)
	for _, id := range append(ids, active) {
		keys[id] = key(t, byte(id)+1)
	}
	r, err := token.NewKeyring(active, keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	r := ring(t, 3)
	rapid.Check(t, func(t *rapid.T) {
		var message [12]byte
		copy(message[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "message"))
		index := rapid.Uint32().Draw(t, "index")
		var person token.Person
		copy(person[:], rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "person"))

		link := token.Link{Message: message, Index: index, URL: rapid.StringN(1, 200, token.MaxURL).Draw(t, "url"), Person: person}
		sealed, err := r.SealLink(link)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenLink(sealed); err != nil || got != link {
			t.Fatalf("got %v, %v; want %v", got, err, link)
		}

		open := token.Open{Message: message, Index: index, Person: person}
		sealed, err = r.SealOpen(open)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenOpen(sealed); err != nil || got != open {
			t.Fatalf("got %v, %v; want %v", got, err, open)
		}

		u := token.Unsubscribe{
			message, index,
			rapid.StringN(0, 20, token.MaxName).Draw(t, "tenant"),
			rapid.StringN(0, 20, token.MaxName).Draw(t, "stream"),
			rapid.StringN(0, 60, token.MaxAddress).Draw(t, "address"),
		}
		sealed, err = r.SealUnsubscribe(u)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenUnsubscribe(sealed); err != nil || got != u {
			t.Fatalf("got %v, %v; want %v", got, err, u)
		}
	})
}

func TestTokenIsStable(t *testing.T) {
	// Tokens live in mail for years: this one must open for ever.
	const sealed = "Q7KSw6qdFdoIOaMw26wMV-9xWp4b_kUKLu2mG7kpqY5yHeQILnh_SvK_ixk"
	r := ring(t, 3)
	want := token.Link{Message: [12]byte{1, 2, 3}, Index: 300, URL: "https://example.com/"}
	got, err := r.SealLink(want)
	if err != nil {
		t.Fatal(err)
	}
	if got != sealed {
		t.Errorf("sealed as %s, want %s", got, sealed)
	}
	if opened, err := r.OpenLink(sealed); err != nil || opened != want {
		t.Errorf("opened as %v, %v", opened, err)
	}
}

func TestEveryBitCounts(t *testing.T) {
	r := ring(t, 0, 1)
	payload := []byte("payload")
	sealed, err := r.Seal(token.PurposeClick, payload)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for bit := range 8 {
			changed := []byte(sealed)
			changed[i] ^= 1 << bit
			if got, err := r.Open(token.PurposeClick, string(changed)); err == nil {
				t.Fatalf("octet %d bit %d: opened as %q", i, bit, got)
			}
		}
	}
	for _, wrong := range []string{"", "A", sealed[:len(sealed)-1], sealed + "A", sealed + "=", sealed + "\n", "\r\n" + sealed, strings.Repeat("A", token.MaxLength+1)} {
		if _, err := r.Open(token.PurposeClick, wrong); !errors.Is(err, token.ErrToken) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

func TestPurposesAreApart(t *testing.T) {
	r := ring(t, 0)
	purposes := []token.Purpose{token.PurposeClick, token.PurposeOpen, token.PurposeUnsubscribe}
	for _, sealedFor := range purposes {
		sealed, err := r.Seal(sealedFor, []byte("the same payload"))
		if err != nil {
			t.Fatal(err)
		}
		for _, openedFor := range purposes {
			_, err := r.Open(openedFor, sealed)
			if (err == nil) != (sealedFor == openedFor) {
				t.Errorf("sealed for %d, opened for %d: %v", sealedFor, openedFor, err)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	old := ring(t, 1)
	sealed, err := old.SealOpen(token.Open{Index: 7})
	if err != nil {
		t.Fatal(err)
	}
	rotated := ring(t, 2, 1)
	if got, err := rotated.OpenOpen(sealed); err != nil || got.Index != 7 {
		t.Errorf("after rotation: %v, %v", got, err)
	}
	fresh, err := rotated.SealOpen(token.Open{Index: 7})
	if err != nil || fresh == sealed {
		t.Errorf("the active key did not seal: %v", err)
	}
	if _, err := ring(t, 2).OpenOpen(sealed); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("with the old key gone: %v", err)
	}
}

func TestTokensShowNothing(t *testing.T) {
	r := ring(t, 0)
	u := token.Unsubscribe{Tenant: "acme", Stream: "news", Address: strings.Repeat("someone", 20) + "@example.com"}
	a, err := r.SealUnsubscribe(u)
	if err != nil {
		t.Fatal(err)
	}
	u.Index++
	b, _ := r.SealUnsubscribe(u)
	if a[30:60] == b[30:60] {
		t.Error("two tokens share ciphertext")
	}
}

func TestBounds(t *testing.T) {
	r := ring(t, 0)
	for _, url := range []string{"", strings.Repeat("x", token.MaxURL+1)} {
		if _, err := r.SealLink(token.Link{URL: url}); !errors.Is(err, token.ErrPayload) {
			t.Errorf("URL of %d: %v", len(url), err)
		}
	}
	if _, err := r.SealUnsubscribe(token.Unsubscribe{Tenant: strings.Repeat("x", token.MaxName+1)}); !errors.Is(err, token.ErrPayload) {
		t.Errorf("tenant: %v", err)
	}
	if _, err := r.Seal(token.PurposeClick, make([]byte, token.MaxLength)); !errors.Is(err, token.ErrPayload) {
		t.Errorf("payload: %v", err)
	}
	if s, err := r.SealLink(token.Link{URL: strings.Repeat("x", token.MaxURL)}); err != nil || len(s) > token.MaxLength {
		t.Errorf("longest URL: %d characters, %v", len(s), err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	r := ring(t, 0)
	head := make([]byte, 12)
	for name, payload := range map[string][]byte{
		"empty":           nil,
		"cut in the id":   head[:5],
		"no index":        head,
		"trailing octet":  append(bytes.Clone(head), 1, 0),
		"long varint":     append(bytes.Clone(head), 0x81, 0x00),
		"index too great": append(bytes.Clone(head), 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		sealed, err := r.Seal(token.PurposeOpen, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.OpenOpen(sealed); !errors.Is(err, token.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, rest := range map[string]string{
		"no URL": "\x00\x00", "unknown scheme": "\x00\x09x", "scheme spelt out": "\x00\x00https://x",
	} {
		sealed, _ := r.Seal(token.PurposeClick, append(bytes.Clone(head), rest...))
		if _, err := r.OpenLink(sealed); !errors.Is(err, token.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	var file bytes.Buffer
	file.WriteString("# the active key first\n\n")
	old := token.Generate()
	for _, line := range []struct {
		id  token.ID
		key token.Key
	}{{9, key(t, 1)}, {4, old}} {
		if err := token.WriteKeyLine(&file, line.id, line.key); err != nil {
			t.Fatal(err)
		}
	}
	r, err := token.ParseKeyFile(file.Bytes())
	if err != nil || r.Active() != 9 {
		t.Fatalf("active %v, %v", r, err)
	}
	before, err := token.NewKeyring(4, map[token.ID]token.Key{4: old})
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := before.SealOpen(token.Open{Index: 1})
	if _, err := r.OpenOpen(sealed); err != nil {
		t.Errorf("a token of the second key: %v", err)
	}
}

func TestKeyFileErrors(t *testing.T) {
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	for name, text := range map[string]string{
		"empty":      "# nothing\n",
		"one word":   secret,
		"id":         "64 " + secret,
		"not base64": "1 " + secret + "!",
		"short":      "1 c2VjcmV0",
		"twice":      "1 " + secret + "\n1 " + secret,
		"long line":  "1 " + strings.Repeat("A", 80<<10),
	} {
		_, err := token.ParseKeyFile([]byte(text))
		if !errors.Is(err, token.ErrKey) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	if _, err := token.NewKeyring(1, map[token.ID]token.Key{2: key(t, 1)}); !errors.Is(err, token.ErrKey) {
		t.Errorf("missing active key: %v", err)
	}
	if _, err := token.NewKeyring(64, map[token.ID]token.Key{64: key(t, 1)}); !errors.Is(err, token.ErrKey) {
		t.Errorf("id 64: %v", err)
	}
	if err := token.WriteKeyLine(new(bytes.Buffer), 64, key(t, 1)); !errors.Is(err, token.ErrKey) {
		t.Errorf("write id 64: %v", err)
	}
}

func TestKeysStaySecret(t *testing.T) {
	k := key(t, 'S')
	r, err := token.NewKeyring(0, map[token.ID]token.Key{0: k})
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	fmt.Fprintf(&shown, "%v %+v %#v %s %q", k, k, k, k, k)
	fmt.Fprintf(&shown, "%v %+v %#v %s", r, r, r, r)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("keys", "key", k, "ring", r)
	encoded, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(encoded)
	for _, trace := range []string{"SSS", "83 83", "0x53"} {
		if strings.Contains(shown.String(), trace) {
			t.Errorf("the key shows: %s", shown.String())
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, 0, 1, 2)
	for _, purpose := range purposes() {
		sealed, _ := r.Seal(purpose, []byte("012345678901\x00\x01example.com"))
		f.Add(sealed)
	}
	f.Add("")
	f.Add("QUFB")
	f.Fuzz(func(t *testing.T, s string) {
		if l, err := r.OpenLink(s); err == nil {
			if again, err := r.SealLink(l); err != nil || again[1:] != s[1:] && again[0] == s[0] {
				t.Fatalf("%q opened but seals as %q, %v", s, again, err)
			}
		}
		r.OpenOpen(s)
		r.OpenUnsubscribe(s)
	})
}

func FuzzPayload(f *testing.F) {
	r := ring(f, 0)
	f.Add([]byte("012345678901\x00\x01example.com"))
	f.Add([]byte("012345678901\x05\x01a\x01b\x03c@d"))
	f.Add([]byte("012345678901\x00\x0412345678example.com"))
	f.Add([]byte("\x80\x80\x01\x01a\x01b\x01c\x02x.example"))
	f.Add([]byte("\x80\x80\x0112345678"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, purpose := range purposes() {
			sealed, err := r.Seal(purpose, payload)
			if err != nil {
				continue
			}
			reseal(t, r, purpose, sealed)
		}
	})
}

// reseal holds that a payload that decodes is the one that would be encoded.
func reseal(t *testing.T, r *token.Keyring, purpose token.Purpose, sealed string) {
	var again string
	var err error
	switch purpose {
	case token.PurposeClick:
		var l token.Link
		if l, err = r.OpenLink(sealed); err == nil {
			again, err = r.SealLink(l)
		}
	case token.PurposeOpen:
		var o token.Open
		if o, err = r.OpenOpen(sealed); err == nil {
			again, err = r.SealOpen(o)
		}
	case token.PurposeUnsubscribe:
		var u token.Unsubscribe
		if u, err = r.OpenUnsubscribe(sealed); err == nil {
			again, err = r.SealUnsubscribe(u)
		}
	case token.PurposeCountedClick:
		var l token.CountedLink
		if l, err = r.OpenCountedLink(sealed); err == nil {
			again, err = r.SealCountedLink(l)
		}
	case token.PurposeCountedOpen:
		var c token.Counted
		if c, err = r.OpenCountedOpen(sealed); err == nil {
			again, err = r.SealCountedOpen(c)
		}
	case token.PurposeLastOpen:
		var o token.LastOpen
		if o, err = r.OpenLastOpen(sealed); err == nil {
			again, err = r.SealLastOpen(o)
		}
	}
	if err == nil && again != sealed {
		t.Fatalf("two encodings of one payload: %s and %s", sealed, again)
	}
	if err != nil && !errors.Is(err, token.ErrToken) {
		t.Fatal(err)
	}
}

func BenchmarkSealLink(b *testing.B) {
	r := ring(b, 0)
	l := token.Link{URL: "https://www.example.com/a/page/of/some/length?with=a&query=too"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.SealLink(l); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLengths holds what the documentation says of lengths.
func TestLengths(t *testing.T) {
	r := ring(t, 0)
	encoded := func(octets int) int { return (octets*4 + 2) / 3 }
	link, _ := r.SealLink(token.Link{Index: 127, URL: "https://" + strings.Repeat("x", 52)})
	if want := encoded(60 + 23); len(link) != want || want != 111 {
		t.Errorf("link: %d, want %d", len(link), want)
	}
	open, _ := r.SealOpen(token.Open{Index: 127})
	if want := 47 - len("/o/") - len(".gif"); len(open) != want {
		t.Errorf("open: %d, want %d", len(open), want)
	}
	u, _ := r.SealUnsubscribe(token.Unsubscribe{Tenant: "acme", Stream: "news", Address: "jane@example.com"})
	if want := encoded(4 + 4 + 16 + 33); len(u) != want {
		t.Errorf("unsubscribe: %d, want %d", len(u), want)
	}
}
