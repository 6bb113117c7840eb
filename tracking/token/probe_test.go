package token_test

import (
	"errors"
	"testing"

	"github.com/postrider-mta/postrider/tracking/token"
)

// TestProofs proves that a proof holds for its challenge and its keys alone,
// and that no token of another kind is a probe or a proof.
func TestProofs(t *testing.T) {
	ring, other := ringOf(t, token.Generate()), ringOf(t, token.Generate())
	challenge := token.MakeChallenge()
	probe, err := ring.SealProbe(challenge)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := ring.Prove(probe)
	if err != nil || !ring.Proves(proof, challenge) {
		t.Fatalf("%q, %v", proof, err)
	}
	if ring.Proves(proof, token.MakeChallenge()) || other.Proves(proof, challenge) || ring.Proves(probe, challenge) || ring.Proves("", challenge) {
		t.Error("proves what it does not")
	}
	if _, err := other.Prove(probe); !errors.Is(err, token.ErrToken) {
		t.Errorf("answered for other keys: %v", err)
	}
	short, err := ring.Seal(token.PurposeProbe, challenge[:5])
	if err != nil {
		t.Fatal(err)
	}
	open, err := ring.SealOpen(token.Open{})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "x", proof, short, open} {
		if answer, err := ring.Prove(wrong); err == nil {
			t.Errorf("%q was answered with %q", wrong, answer)
		}
	}
}

func ringOf(t *testing.T, key token.Key) *token.Keyring {
	t.Helper()
	ring, err := token.NewKeyring(0, map[token.ID]token.Key{0: key})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
