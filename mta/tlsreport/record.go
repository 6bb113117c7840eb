package tlsreport

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Record says where reports about a domain go (RFC 8460 section 3).
type Record struct {
	// Destinations in their order; never empty.
	Destinations []Destination
}

// Destination is a mailbox or an HTTPS endpoint; one of the two is set.
type Destination struct {
	Mailbox  mail.Address
	Endpoint string
}

// Host names the destination in a log: the domain of a mailbox, the host of an
// endpoint, whose path may be a secret.
func (d *Destination) Host() string {
	if d.Endpoint == "" {
		return string(d.Mailbox.Domain())
	}
	u, err := url.Parse(d.Endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Errors of ParseRecord.
var (
	// ErrNoRecord: the domain asks for no reports.
	ErrNoRecord = errors.New("no TLSRPT record")
	// ErrRecord: the record cannot be used.
	ErrRecord = errors.New("malformed TLSRPT record")
)

const (
	version = "v=TLSRPTv1"
	// maxRecord bounds what is looked at; real records have 100 octets.
	maxRecord = 4096
	// maxDestinations bounds where one report is sent to.
	maxDestinations = 8
)

// recordName is where a domain's record is.
func recordName(d mail.Domain) string { return "_smtp._tls." + string(d) }

// ParseRecord reads the TXT records at _smtp._tls below a domain, each with its
// strings joined. Destinations that cannot be used, and fields that are
// unknown, are passed over. The error wraps ErrNoRecord where there is not
// exactly one record of this version, and ErrRecord where there is and it says
// nothing of use.
func ParseRecord(texts []string) (Record, error) {
	var found []string
	for _, text := range texts {
		if rest, ok := strings.CutPrefix(text, version); ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";") {
			found = append(found, rest)
		}
	}
	switch {
	case len(found) != 1:
		return Record{}, fmt.Errorf("%w: %d of the version", ErrNoRecord, len(found))
	case len(found[0]) > maxRecord:
		return Record{}, fmt.Errorf("%w: longer than %d octets", ErrRecord, maxRecord)
	}
	return parseFields(strings.TrimLeft(found[0], " \t")[1:])
}

func parseFields(text string) (Record, error) {
	var record Record
	seen := false
	for field := range strings.SplitSeq(text, ";") {
		field = strings.Trim(field, " \t")
		name, value, pair := strings.Cut(field, "=")
		switch {
		case field == "":
		case !pair || !isFieldName(name) || value == "":
			return Record{}, fmt.Errorf("%w: a field that is no name and value", ErrRecord)
		case name == "rua" && !seen:
			seen = true
			record.Destinations = parseDestinations(value)
		}
	}
	if len(record.Destinations) == 0 {
		return Record{}, fmt.Errorf("%w: nowhere to report to", ErrRecord)
	}
	return record, nil
}

func isFieldName(s string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= 32 && strings.Trim(s, alphanumeric+"_-.") == "" && strings.ContainsRune(alphanumeric, rune(s[0]))
}

func parseDestinations(value string) []Destination {
	var list []Destination
	for text := range strings.SplitSeq(value, ",") {
		d, ok := parseDestination(strings.Trim(text, " \t"))
		if ok && len(list) < maxDestinations {
			list = append(list, d)
		}
	}
	return list
}

func parseDestination(text string) (Destination, bool) {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, "! \t") {
		return Destination{}, false // they must be encoded
	}
	switch u.Scheme {
	case "mailto":
		to, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return Destination{}, false
		}
		mailbox, err := mail.ParseAddress(to)
		return Destination{Mailbox: mailbox}, err == nil
	case "https":
		u.Fragment, u.RawFragment = "", ""
		return Destination{Endpoint: u.String()}, u.Hostname() != "" && u.User == nil && u.Opaque == ""
	}
	return Destination{}, false
}
