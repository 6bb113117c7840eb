package token

import "crypto/rand"

const (
	// PurposeProbe asks a tracker for a proof that it holds the same keys.
	PurposeProbe Purpose = 16
	// PurposeProof is that proof.
	PurposeProof Purpose = 17
)

// Challenge is what a probe asks to be proven: random, so that an answer to an
// earlier one proves nothing.
type Challenge [16]byte

// MakeChallenge returns a new one.
func MakeChallenge() (c Challenge) {
	rand.Read(c[:]) // never fails: see crypto/rand.Read
	return c
}

// SealProbe returns the token that a probe asks with.
func (r *Keyring) SealProbe(c Challenge) (string, error) { return r.Seal(PurposeProbe, c[:]) }

// Prove turns the token of a probe into the one that answers it. An error
// wraps ErrToken or ErrUnknownKey.
func (r *Keyring) Prove(probe string) (string, error) {
	payload, err := r.Open(PurposeProbe, probe)
	if err != nil {
		return "", err
	}
	if len(payload) != len(Challenge{}) {
		return "", ErrToken
	}
	return r.Seal(PurposeProof, payload)
}

// Proves reports whether an answer is the proof for a challenge.
func (r *Keyring) Proves(proof string, c Challenge) bool {
	payload, err := r.Open(PurposeProof, proof)
	return err == nil && string(payload) == string(c[:])
}
