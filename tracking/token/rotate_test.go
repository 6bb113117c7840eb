package token_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/token"
)

// keyFile has a line for each id.
func keyFile(t *testing.T, ids ...token.ID) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("# first\n\n")
	for _, id := range ids {
		if err := token.WriteKeyLine(&b, id, key(t, byte(id)+1)); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString("# last")
	return b.Bytes()
}

// TestRotate proves that a new key seals, that every old one opens, and that
// nothing else of the file changes.
func TestRotate(t *testing.T) {
	text := keyFile(t, 0)
	payload := []byte("x")
	var tokens []string
	for round := range int(token.MaxID) {
		ring, err := token.ParseKeyFile(text)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := ring.Seal(token.PurposeClick, payload)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, sealed)
		if id, ok := token.KeyOf(sealed); !ok || id != ring.Active() {
			t.Errorf("made with %d, %v", id, ok)
		}
		next, id, err := token.Rotate(text, token.Generate())
		if err != nil || int(id) != round+1 {
			t.Fatalf("round %d: id %d, %v", round, id, err)
		}
		if !bytes.HasPrefix(next, []byte("# first\n\n")) || !bytes.HasSuffix(next, bytes.TrimPrefix(text, []byte("# first\n\n"))) {
			t.Fatalf("round %d: more than a line changed", round)
		}
		text = next
	}
	ring, err := token.ParseKeyFile(text)
	if err != nil || ring.Active() != token.MaxID || len(ring.IDs()) != int(token.MaxID)+1 {
		t.Fatal(ring, err)
	}
	for _, sealed := range tokens {
		if got, err := ring.Open(token.PurposeClick, sealed); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, _, err := token.Rotate(text, token.Generate()); !errors.Is(err, token.ErrFull) || !errors.Is(err, token.ErrKey) {
		t.Errorf("65 keys: %v", err)
	}
}

func TestRotateChoosesAnUnusedID(t *testing.T) {
	for _, c := range []struct {
		ids  []token.ID
		want token.ID
	}{{[]token.ID{3}, 4}, {[]token.ID{5, 9, 0}, 10}, {[]token.ID{63}, 0}, {[]token.ID{0, 1, 63}, 2}} {
		text, id, err := token.Rotate(keyFile(t, c.ids...), token.Generate())
		if err != nil || id != c.want {
			t.Errorf("%v: %d, %v", c.ids, id, err)
		}
		if ring, err := token.ParseKeyFile(text); err != nil || ring.Active() != c.want {
			t.Errorf("%v: %v, %v", c.ids, ring, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "0 x\n"} {
		if _, _, err := token.Rotate([]byte(text), token.Generate()); !errors.Is(err, token.ErrKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestReplace proves that whoever has a ring gets its new keys.
func TestReplace(t *testing.T) {
	one, err := token.NewKeyring(1, map[token.ID]token.Key{1: key(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	two, err := token.NewKeyring(2, map[token.ID]token.Key{1: key(t, 1), 2: key(t, 2)})
	if err != nil {
		t.Fatal(err)
	}
	old, err := one.Seal(token.PurposeOpen, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.Replace(two)
	if one.Active() != 2 || fmt.Sprint(one) != "keyring with active key 2" {
		t.Error(one)
	}
	fresh, err := one.Seal(token.PurposeOpen, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sealed := range []string{old, fresh} {
		if _, err := one.Open(token.PurposeOpen, sealed); err != nil {
			t.Error(err)
		}
	}
}

func TestKeyOf(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("A", 40), strings.Repeat("!", 40), strings.Repeat("_", 40), strings.Repeat("Q", 1<<15)} {
		if id, ok := token.KeyOf(text); ok {
			t.Errorf("%.50q: %d", text, id)
		}
	}
}
