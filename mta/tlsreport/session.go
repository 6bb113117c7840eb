package tlsreport

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

// PolicyType is what kind of policy a session was held to (RFC 8460 section
// 4.4).
type PolicyType string

// The kinds of policies.
const (
	// STS is an MTA-STS policy (RFC 8461).
	STS PolicyType = "sts"
	// TLSA is a DANE policy (RFC 7672).
	TLSA PolicyType = "tlsa"
	// NoPolicyFound: neither was found.
	NoPolicyFound PolicyType = "no-policy-found"
)

// Result is what failed (RFC 8460 section 4.3).
type Result string

// The results.
const (
	StartTLSNotSupported    Result = "starttls-not-supported"
	CertificateHostMismatch Result = "certificate-host-mismatch"
	CertificateExpired      Result = "certificate-expired"
	CertificateNotTrusted   Result = "certificate-not-trusted"
	// ValidationFailure is everything that has no result of its own.
	ValidationFailure   Result = "validation-failure"
	TLSAInvalid         Result = "tlsa-invalid"
	DNSSECInvalid       Result = "dnssec-invalid"
	DANERequired        Result = "dane-required"
	STSPolicyFetchError Result = "sts-policy-fetch-error"
	STSPolicyInvalid    Result = "sts-policy-invalid"
	STSWebPKIInvalid    Result = "sts-webpki-invalid"
)

// Policy is what a session was held to.
type Policy struct {
	Type PolicyType
	// Strings are the lines of an MTA-STS policy, or the TLSA records in
	// presentation format, each with single spaces (RFC 8460 section 4.5).
	Strings []string
	// Domain that the policy is for: with MTA-STS the recipients', with DANE the
	// TLSA base domain; empty for the session's.
	Domain mail.Domain
	// MXHosts are the patterns of an MTA-STS policy.
	MXHosts []string
}

// Failure is what was wrong with a session.
type Failure struct {
	Result Result
	// SendingIP is our address, as the server sees it.
	SendingIP netip.Addr
	// MXHost is the mail exchanger's name in DNS, MXHelo the one in its
	// greeting.
	MXHost, MXHelo string
	ReceivingIP    netip.Addr
	// Reason in words, or an error code of the TLS library.
	Reason string
	// Information is a URI with more about the failure.
	Information string
}

// Session is one connection, or one that was tried, under one policy. Under
// two policies it counts for each. A session that carried a TLS report is not
// to be counted (RFC 8460 section 3).
type Session struct {
	// Domain is whose report it belongs in: with MTA-STS and without a policy
	// the recipients', with DANE the recipients' or the TLSA base domain.
	Domain mail.Domain
	Policy Policy
	// Failures; none for a session that succeeded.
	Failures []Failure
}

// Bounds of what is kept of a session.
const (
	maxStrings  = 128
	maxString   = 4096
	maxHost     = 255
	maxWords    = 200
	maxFailures = 8
)

// reportable reports whether a domain can have a TLSRPT record at all.
func reportable(d mail.Domain) bool {
	_, literal := d.Literal()
	return d != "" && !literal && len(recordName(d)) <= 253
}

func (s *Session) clean() Session {
	kept := Session{Domain: s.Domain, Policy: Policy{
		Type: s.Policy.Type, Domain: s.Policy.Domain,
		Strings: cleanList(s.Policy.Strings, maxString), MXHosts: cleanList(s.Policy.MXHosts, maxHost),
	}}
	if kept.Policy.Domain == "" {
		kept.Policy.Domain = s.Domain
	}
	if kept.Policy.Type == "" {
		kept.Policy.Type = NoPolicyFound
	}
	for _, f := range s.Failures[:min(len(s.Failures), maxFailures)] {
		kept.Failures = append(kept.Failures, f.clean())
	}
	return kept
}

func (f Failure) clean() Failure {
	if f.Result == "" {
		f.Result = ValidationFailure
	}
	f.SendingIP, f.ReceivingIP = f.SendingIP.Unmap().WithZone(""), f.ReceivingIP.Unmap().WithZone("")
	f.MXHost = strings.ToLower(strings.TrimSuffix(clean(f.MXHost, maxHost), "."))
	f.MXHelo = clean(f.MXHelo, maxHost)
	f.Reason = clean(f.Reason, maxWords)
	f.Information = clean(f.Information, maxWords)
	return f
}

func cleanList(list []string, longest int) []string {
	var kept []string
	for _, s := range list[:min(len(list), maxStrings)] {
		kept = append(kept, clean(s, longest))
	}
	return kept
}

// clean makes one line of at most that many octets, in which no word is an
// address: servers like to name the recipient in what they say.
func clean(s string, longest int) string {
	if len(s) > 2*longest {
		s = s[:2*longest]
	}
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for i, word := range words {
		if strings.ContainsRune(word, '@') {
			words[i] = "(address)"
		}
	}
	s = strings.Join(words, " ")
	for len(s) > longest {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
