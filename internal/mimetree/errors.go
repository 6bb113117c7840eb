package mimetree

import "errors"

// Errors of this package.
var (
	// ErrMalformed: the structure is broken or ambiguous.
	ErrMalformed = errors.New("malformed MIME structure")
	// ErrTooComplex: more parts, or parts deeper in each other, than any honest
	// message has.
	ErrTooComplex = errors.New("MIME structure too complex")
	// ErrEncoding: content that is not what its transfer encoding says.
	ErrEncoding = errors.New("malformed transfer encoding")
	// ErrSigned: the change would break a signature or an encryption.
	ErrSigned = errors.New("signed or encrypted part")
	// ErrHeader: octets above 127 in a header, which no transfer encoding
	// covers.
	ErrHeader = errors.New("8-bit header field")
)
