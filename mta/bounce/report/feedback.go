package report

import (
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Feedback is a report in the abuse reporting format (RFC 5965 section 3), with
// what RFC 6591 adds for failed authentication. Values are a stranger's.
type Feedback struct {
	// Type is abuse, fraud, virus, not-spam, auth-failure or another word, in
	// lower case.
	Type               string
	UserAgent, Version string
	// OriginalMailFrom and OriginalRcptTo are often redacted.
	OriginalMailFrom   string
	OriginalRcptTo     []string
	OriginalEnvelopeID string
	ReportingMTA       string
	// Arrival is Arrival-Date, or the older Received-Date; zero where absent or
	// no date.
	Arrival time.Time
	// SourceIP is invalid where absent or redacted.
	SourceIP netip.Addr
	// Incidents is how many messages the report stands for, at least 1.
	Incidents                                            int
	ReportedDomains, ReportedURIs, AuthenticationResults []string
	// Failure is there for auth-failure alone.
	Failure *AuthFailure
	// Fields are all of them.
	Fields Fields
}

// AuthFailure is what RFC 6591 section 3 adds.
type AuthFailure struct {
	// Auth is adsp, bodyhash, revoked, signature, spf or dmarc (RFC 7489).
	Auth string
	// DeliveryResult is delivered, spam, policy, reject or other.
	DeliveryResult                                                  string
	DKIMDomain, DKIMIdentity, DKIMSelector, DKIMSelectorDNS, SPFDNS string
	DKIMCanonicalizedHeader, DKIMCanonicalizedBody                  string
	IdentityAlignment                                               string
}

// readFeedback reads a message/feedback-report. A few put empty lines between
// the fields.
func readFeedback(content []byte) *Feedback {
	var fields Fields
	for len(content) > 0 && len(fields) < maxFields {
		var more Fields
		more, content = readFields(content)
		fields = append(fields, more...)
	}
	f := &Feedback{
		Type:      strings.ToLower(fields.Get("Feedback-Type")),
		UserAgent: fields.Get("User-Agent"), Version: fields.Get("Version"),
		OriginalMailFrom: fields.Get("Original-Mail-From"), OriginalRcptTo: fields.All("Original-Rcpt-To"),
		OriginalEnvelopeID: fields.Get("Original-Envelope-Id"), ReportingMTA: fields.Get("Reporting-MTA"),
		Arrival:         readDate(orElse(fields.Get("Arrival-Date"), fields.Get("Received-Date"))),
		Incidents:       readCount(fields.Get("Incidents")),
		ReportedDomains: fields.All("Reported-Domain"), ReportedURIs: fields.All("Reported-URI"),
		AuthenticationResults: fields.All("Authentication-Results"),
		Fields:                fields,
	}
	f.SourceIP, _ = netip.ParseAddr(strings.Trim(fields.Get("Source-IP"), "[]"))
	if f.Type == "auth-failure" || fields.Has("Auth-Failure") {
		f.Failure = readAuthFailure(fields)
	}
	return f
}

func readAuthFailure(fields Fields) *AuthFailure {
	return &AuthFailure{
		Auth:                    strings.ToLower(fields.Get("Auth-Failure")),
		DeliveryResult:          strings.ToLower(fields.Get("Delivery-Result")),
		DKIMDomain:              fields.Get("DKIM-Domain"),
		DKIMIdentity:            fields.Get("DKIM-Identity"),
		DKIMSelector:            fields.Get("DKIM-Selector"),
		DKIMSelectorDNS:         fields.Get("DKIM-Selector-DNS"),
		SPFDNS:                  fields.Get("SPF-DNS"),
		DKIMCanonicalizedHeader: fields.Get("DKIM-Canonicalized-Header"),
		DKIMCanonicalizedBody:   fields.Get("DKIM-Canonicalized-Body"),
		IdentityAlignment:       fields.Get("Identity-Alignment"),
	}
}

func readDate(value string) time.Time {
	date, err := mail.ParseDate(value)
	if err != nil {
		return time.Time{}
	}
	return date
}

func readCount(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 1
	}
	return n
}
