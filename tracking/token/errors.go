package token

import "errors"

// Errors of this package. None of them carries a secret or a payload.
var (
	// ErrToken: not a token of ours for this purpose; which check failed is
	// kept from the caller on purpose, save for ErrUnknownKey.
	ErrToken = errors.New("invalid token")
	// ErrUnknownKey: a token whose key id is not in
	// the keyring: forged, or older than the oldest key kept.
	ErrUnknownKey = errors.New("token with an unknown key")
	// ErrPayload: a payload that cannot be sealed because a field is out of its
	// bounds.
	ErrPayload = errors.New("token payload out of bounds")
	// ErrKey: a key, key id or key file that cannot be used.
	ErrKey = errors.New("invalid token key")
)
