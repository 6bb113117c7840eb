package token_test

import (
	"bytes"
	"testing"

	"github.com/postrider-mta/postrider/tracking/token"
)

// TestMAC: each key has one of its own, and a ring that is replaced has those
// of the new keys.
func TestMAC(t *testing.T) {
	first, second := token.Generate(), token.Generate()
	ring, err := token.NewKeyring(1, map[token.ID]token.Key{1: first, 2: second})
	if err != nil {
		t.Fatal(err)
	}
	one, ok := ring.MAC(1, []byte("data"))
	two, also := ring.MAC(2, []byte("data"))
	if !ok || !also || len(one) < 16 || bytes.Equal(one, two) {
		t.Fatalf("%x %x", one, two)
	}
	if other, _ := ring.MAC(1, []byte("datb")); bytes.Equal(one, other) {
		t.Error("other data has the same MAC")
	}
	for _, id := range []token.ID{0, 3, token.MaxID + 1, 255} {
		if _, ok := ring.MAC(id, []byte("data")); ok {
			t.Errorf("there is no key %d", id)
		}
	}
	later, err := token.NewKeyring(2, map[token.ID]token.Key{2: second})
	if err != nil {
		t.Fatal(err)
	}
	ring.Replace(later)
	if _, ok := ring.MAC(1, []byte("data")); ok {
		t.Error("the key was taken away")
	}
	if again, ok := ring.MAC(2, []byte("data")); !ok || !bytes.Equal(again, two) {
		t.Error("the kept key has changed")
	}
}
