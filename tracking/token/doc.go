// Package token makes and opens the sealed tokens that tracked links carry.
//
// A token holds everything the tracker needs, so no look-up stands between a
// click and its redirect, and links outlive every database. It is encrypted, so
// nobody reads a person's data in it, and authenticated for one purpose, so a
// token that the daemon did not make for this use opens nothing.
//
// The wire form is URL-safe base64 without padding of
//
//	version and key id (1 octet) | tag (16 octets) | ciphertext
//
// tag is HMAC-SHA256 over the first octet, the purpose and the plaintext, cut
// to 16 octets; it is also the initial counter block of AES-256-CTR over the
// plaintext. This is the synthetic-IV construction: there is no nonce that
// could repeat, and equal payloads give equal tokens. The two keys come from
// one master key by HKDF (RFC 5869).
package token
