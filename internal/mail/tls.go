package mail

import "fmt"

// TLSFloor is the least protection under which mail may leave.
type TLSFloor uint8

const (
	// TLSOpportunistic encrypts where the server offers it, whatever its
	// certificate, and sends in the clear where it does not (RFC 7435).
	TLSOpportunistic TLSFloor = iota
	// TLSNone never encrypts.
	TLSNone
	// TLSEncrypted requires encryption, whatever the certificate.
	TLSEncrypted
	// TLSVerified requires a certificate that is valid for the host's name.
	TLSVerified
)

func tlsFloorNames() []string { return []string{"opportunistic", "none", "encrypted", "verified"} }

// ParseTLSFloor reads opportunistic, none, encrypted or verified.
func ParseTLSFloor(s string) (TLSFloor, error) {
	for i, name := range tlsFloorNames() {
		if s == name {
			return TLSFloor(i), nil
		}
	}
	return TLSOpportunistic, fmt.Errorf("%q is not opportunistic, none, encrypted or verified", s)
}

// String is the inverse of ParseTLSFloor.
func (f TLSFloor) String() string {
	if names := tlsFloorNames(); int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("tls floor %d", uint8(f))
}
