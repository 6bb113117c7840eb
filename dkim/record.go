package dkim

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// Record returns the text of the TXT record to publish under Key.Name (RFC 6376
// section 3.6.1, RFC 8463 section 4).
func Record(key Key) (string, error) {
	public, err := publicKey(key)
	if err != nil {
		return "", err
	}
	kind := "rsa"
	if key.Algorithm() == Ed25519SHA256 {
		kind = "ed25519"
	}
	return "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public), nil
}

// ZoneRecord returns the record as a line of a zone file, its text split into
// strings of at most 255 octets (RFC 1035 section 3.3.14).
func ZoneRecord(key Key) (string, error) {
	text, err := Record(key)
	if err != nil {
		return "", err
	}
	const longest = 255
	var strs []string
	for len(text) > longest {
		strs = append(strs, `"`+text[:longest]+`"`)
		text = text[longest:]
	}
	strs = append(strs, `"`+text+`"`)
	return fmt.Sprintf("%s. IN TXT ( %s )", key.Name(), strings.Join(strs, " ")), nil
}

// publicKey returns the octets that p= encodes: SubjectPublicKeyInfo for RSA,
// the bare key for Ed25519.
func publicKey(key Key) ([]byte, error) {
	if key.Algorithm() == "" {
		return nil, fmt.Errorf("%w: neither RSA nor Ed25519", ErrKey)
	}
	if public, ok := key.Signer.Public().(ed25519.PublicKey); ok {
		return public, nil
	}
	der, err := x509.MarshalPKIXPublicKey(key.Signer.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return der, nil
}
