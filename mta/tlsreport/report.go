package tlsreport

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Report is one day of one domain, as RFC 8460 section 4.4 writes it.
type Report struct {
	Organization string         `json:"organization-name"`
	DateRange    DateRange      `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []PolicyResult `json:"policies"`
}

// DateRange is the day, its last second included.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// PolicyResult is what was counted under one policy.
type PolicyResult struct {
	Policy   ReportedPolicy   `json:"policy"`
	Summary  Summary          `json:"summary"`
	Failures []FailureDetails `json:"failure-details,omitempty"`
}

// ReportedPolicy is the policy that was applied.
type ReportedPolicy struct {
	Type    PolicyType  `json:"policy-type"`
	Strings []string    `json:"policy-string,omitempty"`
	Domain  mail.Domain `json:"policy-domain"`
	MXHosts []string    `json:"mx-host,omitempty"`
}

// Summary counts sessions.
type Summary struct {
	Successful uint64 `json:"total-successful-session-count"`
	Failed     uint64 `json:"total-failure-session-count"`
}

// FailureDetails counts the sessions that failed in one way.
type FailureDetails struct {
	Result      Result     `json:"result-type"`
	SendingIP   netip.Addr `json:"sending-mta-ip,omitzero"`
	MXHost      string     `json:"receiving-mx-hostname,omitempty"`
	MXHelo      string     `json:"receiving-mx-helo,omitempty"`
	ReceivingIP netip.Addr `json:"receiving-ip,omitzero"`
	Sessions    uint64     `json:"failed-session-count"`
	Information string     `json:"additional-information,omitempty"`
	Reason      string     `json:"failure-reason-code,omitempty"`
}

// compress returns the report as gzipped JSON (RFC 8460 section 5.2).
func (r *Report) compress() ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	encoder := json.NewEncoder(zip)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, err
	}
	err := zip.Close()
	return out.Bytes(), err
}

// fileName is that of RFC 8460 section 5.1.
func (r *Report) fileName(submitter, about mail.Domain) string {
	unique, _, _ := strings.Cut(r.ID, "@")
	return fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", submitter, about,
		r.DateRange.Start.Unix(), r.DateRange.End.Unix(), strings.ReplaceAll(unique, ".", ""))
}
