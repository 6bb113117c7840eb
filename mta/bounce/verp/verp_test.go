package verp_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
)

func codec(t interface{ Fatal(...any) }, active uint8, ids ...uint8) *verp.Codec {
	secrets := make(map[uint8][]byte)
	for _, id := range ids {
		secrets[id] = []byte(strings.Repeat(string(rune('a'+id)), 32))
	}
	keys, err := verp.NewKeyring(active, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return verp.New(keys)
}

func drawID(t *rapid.T) verp.ID {
	id := verp.ID{Index: rapid.Uint32().Draw(t, "index"), Tenant: rapid.Uint32().Draw(t, "tenant")}
	copy(id.Message[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "message"))
	return id
}

// kinds are all there are.
func kinds() []verp.Kind { return []verp.Kind{verp.Bounce, verp.Complaint, verp.Unsubscribe} }

// TestRoundTrip: what was made opens, in any case, and nothing near it does.
func TestRoundTrip(t *testing.T) {
	c := codec(t, 7, 7, 9)
	rapid.Check(t, func(t *rapid.T) {
		id, kind := drawID(t), rapid.SampledFrom(kinds()).Draw(t, "kind")
		token, err := c.Encode(kind, id)
		if err != nil || len(token) > 64 || len(token) > verp.MaxLength || token != strings.ToLower(token) {
			t.Fatalf("%q of %d, %v", token, len(token), err)
		}
		for _, spelling := range []string{token, strings.ToUpper(token)} {
			if gotKind, got, err := c.Decode(spelling); err != nil || got != id || gotKind != kind {
				t.Fatalf("%s: %v %+v, %v", spelling, gotKind, got, err)
			}
		}
		address, err := c.Address(kind, id, "bounce.example.com")
		if err != nil || address.Local() != token {
			t.Fatalf("%v, %v", address, err)
		}
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		other := rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz234567-=\n\x00")).Draw(t, "octet")
		changed := token[:at] + string(other) + token[at+1:]
		if _, _, err := c.Decode(changed); changed != token && err == nil {
			t.Fatalf("%s opens, made of %s", changed, token)
		}
		for _, wrong := range []string{token + "a", token[:len(token)-1], "a" + token, token + "\n", token[2:]} {
			if _, _, err := c.Decode(wrong); err == nil {
				t.Fatalf("%q opens", wrong)
			}
		}
	})
}

// TestLength takes the longest and the shortest token there is.
func TestLength(t *testing.T) {
	c := codec(t, 1, 1)
	for index, want := range map[uint32]int{0: 47, 127: 47, 128: 49, 1 << 14: 50, math.MaxUint32: 54} {
		token, err := c.Encode(verp.Bounce, verp.ID{Index: index})
		if err != nil || len(token) != want {
			t.Errorf("index %d: %d octets, %v", index, len(token), err)
		}
		if _, id, err := c.Decode(token); err != nil || id.Index != index {
			t.Errorf("index %d: %+v, %v", index, id, err)
		}
	}
}

// TestRotation: old tokens open as long as their key is kept.
func TestRotation(t *testing.T) {
	before, during, after := codec(t, 1, 1), codec(t, 2, 1, 2), codec(t, 2, 2)
	id := verp.ID{Message: [12]byte{1, 2, 3}, Index: 4, Tenant: 5}
	old, err := before.Encode(verp.Bounce, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := during.Decode(old); err != nil || got != id {
		t.Errorf("%+v, %v", got, err)
	}
	if _, _, err := after.Decode(old); !errors.Is(err, verp.ErrUnknownKey) {
		t.Errorf("%v", err)
	}
	fresh, err := during.Encode(verp.Bounce, id)
	if err != nil || fresh == old {
		t.Errorf("%s, %v", fresh, err)
	}
	if _, _, err := before.Decode(fresh); !errors.Is(err, verp.ErrUnknownKey) {
		t.Errorf("%v", err)
	}
	stranger, err := verp.NewKeyring(1, map[uint8][]byte{1: []byte(strings.Repeat("x", 32))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := verp.New(stranger).Decode(old); !errors.Is(err, verp.ErrToken) {
		t.Errorf("%v", err)
	}
}

// TestPurpose: a token of one kind is none of another.
func TestPurpose(t *testing.T) {
	c := codec(t, 1, 1)
	token, err := c.Encode(verp.Bounce, verp.ID{})
	if err != nil {
		t.Fatal(err)
	}
	for _, letter := range "cux" {
		if _, _, err := c.Decode(string(letter) + token[1:]); !errors.Is(err, verp.ErrToken) {
			t.Errorf("%c: %v", letter, err)
		}
	}
	if _, err := c.Encode('x', verp.ID{}); !errors.Is(err, verp.ErrKind) {
		t.Error(err)
	}
}

func TestSearch(t *testing.T) {
	c := codec(t, 1, 1)
	id := verp.ID{Message: [12]byte{9}, Index: 300, Tenant: verp.TenantNumber("shop")}
	token, err := c.Encode(verp.Bounce, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		token, "<" + token + "@bounce.example.com>", "rfc822;" + strings.ToUpper(token) + "@x", "SRS0=ab=cd=bounce.example.com=" + token + "@forwarder.example",
		"b-b-" + token, "prvs=1234567890=" + token + "@x", "b-aaaa " + token,
	} {
		if kind, got, ok := c.Search("b", "nothing", text); !ok || got != id || kind != verp.Bounce {
			t.Errorf("%s: %v %+v %t", text, kind, got, ok)
		}
	}
	if _, _, ok := c.Search("cu", token); ok {
		t.Error("a token of a kind not asked for")
	}
	if _, _, ok := c.Search("bcu", "", "-", "b-", strings.Repeat("b-", 40_000), token[:20]); ok {
		t.Error("something was found")
	}
}

func TestKeys(t *testing.T) {
	good := []byte(strings.Repeat("k", 32))
	for name, make := range map[string]func() (*verp.Keyring, error){
		"no active": func() (*verp.Keyring, error) { return verp.NewKeyring(1, map[uint8][]byte{2: good}) },
		"id":        func() (*verp.Keyring, error) { return verp.NewKeyring(64, map[uint8][]byte{64: good}) },
		"short":     func() (*verp.Keyring, error) { return verp.NewKeyring(1, map[uint8][]byte{1: good[:8]}) },
	} {
		if _, err := make(); !errors.Is(err, verp.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, err := verp.NewKeyring(1, map[uint8][]byte{1: good})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", keys, keys, keys); strings.Count(text, "active key 1") != 3 || strings.Contains(text, "kkk") {
		t.Error(text)
	}
	for _, broken := range []verp.Authenticator{badKeys{active: 64}, badKeys{active: 1}, badKeys{active: 1, tag: []byte("short"), ok: true}} {
		if _, err := verp.New(broken).Encode(verp.Bounce, verp.ID{}); !errors.Is(err, verp.ErrKey) {
			t.Errorf("%+v: %v", broken, err)
		}
	}
	token, err := verp.New(keys).Encode(verp.Bounce, verp.ID{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := verp.New(badKeys{ok: true}).Decode(token); !errors.Is(err, verp.ErrToken) {
		t.Errorf("an empty tag opens: %v", err)
	}
}

type badKeys struct {
	active uint8
	tag    []byte
	ok     bool
}

func (b badKeys) Active() uint8                    { return b.active }
func (b badKeys) MAC(uint8, []byte) ([]byte, bool) { return b.tag, b.ok }

// TestStays holds the form: tokens come back long after they were made.
func TestStays(t *testing.T) {
	token, err := codec(t, 1, 1).Encode(verp.Bounce, verp.ID{Message: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, Index: 1000, Tenant: verp.TenantNumber("shop")})
	if err != nil || token != "b-ieaqeayeaudaocajbifqz3nlkel6qbyayypvf6bwwexe26i" {
		t.Errorf("%s, %v", token, err)
	}
}

func TestFeedbackID(t *testing.T) {
	f := verp.FeedbackID{Campaign: "november: sale\r\nX: y", Stream: "marketing", Sender: "postrider"}
	if got := f.String(); got != "november--sale--X--y:marketing::postrider" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		f := verp.FeedbackID{Campaign: rapid.String().Draw(t, "campaign"), Stream: rapid.String().Draw(t, "stream"), Tenant: rapid.String().Draw(t, "tenant"), Sender: "postrider"}
		value := f.String()
		again, err := verp.ParseFeedbackID(value)
		if err != nil || again.String() != value || len(value) > 300 || strings.ContainsAny(value, " \r\n") {
			t.Fatalf("%q, %v", value, err)
		}
	})
	for _, wrong := range []string{"", "a:b:c", "a:b:c:d", "a:b:c:sender with space", "a:b:c:longer-than-fifteen", "a:b:c:d:e", "a b:c:d:sender"} {
		if _, err := verp.ParseFeedbackID(wrong); !errors.Is(err, verp.ErrFeedbackID) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestCFBLAddress(t *testing.T) {
	to, err := mail.ParseAddress("c-abc@bounce.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if got, format, err := verp.ParseCFBLAddress(verp.CFBLAddress(to)); err != nil || got != to || format != "arf" {
		t.Errorf("%v %s %v", got, format, err)
	}
	for value, want := range map[string]string{" c-abc@bounce.example.com ": "arf", "c-abc@bounce.example.com;report=XARF": "xarf", "c-abc@bounce.example.com ; report = arf": "arf"} {
		if got, format, err := verp.ParseCFBLAddress(value); err != nil || got != to || format != want {
			t.Errorf("%s: %v %s %v", value, got, format, err)
		}
	}
	for _, wrong := range []string{"", "x", "a@b;", "a@b; report=pdf", "a@b; x=arf"} {
		if _, _, err := verp.ParseCFBLAddress(wrong); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := codec(f, 1, 1)
	for _, kind := range kinds() {
		token, err := c.Encode(kind, verp.ID{Index: 77})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add("b-" + strings.Repeat("a", 45))
	f.Fuzz(func(t *testing.T, token string) {
		kind, id, err := c.Decode(token)
		if err != nil {
			return
		}
		again, err := c.Encode(kind, id)
		if err != nil || again != strings.ToLower(token) {
			t.Errorf("%q opens as %+v, which is %q, %v", token, id, again, err)
		}
	})
}
