package dane

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// maxRecords of one host are looked at; no honest one has more.
const maxRecords = 64

// Policy is what the TLSA records of one host ask of its certificate.
type Policy struct {
	base     string
	names    []string
	all      []Record
	usable   []Record
	problems []error
}

// New makes the policy of the TLSA base domain base, of which all records are
// given. The names are further ones under which a certificate may be issued
// below a trust anchor: the next-hop domain, and what it was an alias for (RFC
// 7672 section 3.2.3).
func New(records []Record, base string, names ...string) *Policy {
	p := &Policy{base: base}
	for _, name := range append([]string{base}, names...) {
		if name != "" && !slices.Contains(p.names, name) {
			p.names = append(p.names, name)
		}
	}
	p.all = distinct(records)
	for _, r := range p.all {
		if err := r.Check(); err != nil {
			p.problems = append(p.problems, err)
			continue
		}
		p.usable = append(p.usable, r)
	}
	p.usable = strongest(p.usable)
	return p
}

// distinct orders the records, so that the order in which DNS gave them does
// not matter, and drops repeated ones.
func distinct(records []Record) []Record {
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b Record) int {
		return cmp.Or(cmp.Compare(b.Usage, a.Usage), cmp.Compare(a.Selector, b.Selector),
			cmp.Compare(a.Matching, b.Matching), slices.Compare(a.Data, b.Data))
	})
	sorted = slices.CompactFunc(sorted, func(a, b Record) bool { return a.String() == b.String() })
	return sorted[:min(len(sorted), maxRecords)]
}

// strongest leaves out digests where the same usage and selector have a
// stronger one: a weak digest must not outlive its replacement (RFC 7671
// section 9). Records in full always count.
func strongest(usable []Record) []Record {
	best := make(map[[2]uint8]uint8)
	for _, r := range usable {
		key := [2]uint8{r.Usage, r.Selector}
		best[key] = max(best[key], r.Matching)
	}
	return slices.DeleteFunc(usable, func(r Record) bool {
		return r.Matching != MatchingFull && r.Matching < best[[2]uint8{r.Usage, r.Selector}]
	})
}

// Base returns the TLSA base domain: the name for the server name indication
// (RFC 7672 section 8.1).
func (p *Policy) Base() string { return p.base }

// Authenticates reports whether any record can be used. Where none can, the
// connection must be encrypted and the certificate is of no interest.
func (p *Policy) Authenticates() bool { return len(p.usable) > 0 }

// Problems says why records are left out, each in an error that wraps
// ErrUnusable.
func (p *Policy) Problems() []error { return slices.Clone(p.problems) }

// Strings returns all records in presentation format, as reports carry them.
func (p *Policy) Strings() []string {
	texts := make([]string, len(p.all))
	for i, r := range p.all {
		texts[i] = r.String()
	}
	return texts
}

// Key is short, and equal for two policies only if a certificate that satisfies
// one satisfies the other.
func (p *Policy) Key() string {
	if !p.Authenticates() {
		return "unusable"
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%q\n", p.base)
	for _, r := range p.usable {
		fmt.Fprintln(hash, r)
	}
	if slices.ContainsFunc(p.usable, func(r Record) bool { return r.Usage == UsageTrustAnchor }) {
		fmt.Fprintln(hash, strings.Join(p.names, " "))
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:12])
}
