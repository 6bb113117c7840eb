package route

import (
	"crypto/x509"
	"errors"

	"github.com/postrider-mta/postrider/mta/route/dane"
	"github.com/postrider-mta/postrider/mta/route/sts"
)

// Result is what TLSRPT calls a kind of failure (RFC 8460 section 4.3).
type Result string

const (
	StartTLSNotSupported    Result = "starttls-not-supported"
	CertificateHostMismatch Result = "certificate-host-mismatch"
	CertificateExpired      Result = "certificate-expired"
	CertificateNotTrusted   Result = "certificate-not-trusted"
	ValidationFailure       Result = "validation-failure"

	TLSAInvalid   Result = "tlsa-invalid"
	DNSSECInvalid Result = "dnssec-invalid"
	DANERequired  Result = "dane-required"

	STSPolicyFetchError Result = "sts-policy-fetch-error"
	STSPolicyInvalid    Result = "sts-policy-invalid"
	STSWebPKIInvalid    Result = "sts-webpki-invalid"
)

// HandshakeResult names why a connection did not get the protection asked for.
// offered says whether the server offered TLS and began the handshake that
// failed with err, which may be wrapped.
func HandshakeResult(offered bool, err error) Result {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case !offered:
		return StartTLSNotSupported
	case errors.Is(err, dane.ErrUnusable):
		return TLSAInvalid
	case errors.Is(err, dane.ErrMismatch), errors.As(err, &unknown):
		return CertificateNotTrusted
	case errors.As(err, &host):
		return CertificateHostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CertificateExpired
	case errors.As(err, &invalid):
		return CertificateNotTrusted
	}
	return ValidationFailure
}

// discoveryResult names why the policy of a domain could not be had.
func discoveryResult(err error) Result {
	switch {
	case errors.Is(err, sts.ErrWebPKI):
		return STSWebPKIInvalid
	case errors.Is(err, sts.ErrInvalid):
		return STSPolicyInvalid
	}
	return STSPolicyFetchError
}
