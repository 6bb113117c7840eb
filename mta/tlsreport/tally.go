package tlsreport

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// tally is what is counted for one domain on one day.
type tally struct {
	policies map[string]*policyTally
	// size is about how many octets it takes.
	size int
}

// policyTally is what is counted under one policy.
type policyTally struct {
	policy               Policy
	successful, failures uint64
	details              map[Failure]uint64
}

// Bounds of a tally, and what its parts cost beside their text.
const (
	maxPolicies = 16
	maxDetails  = 256
	overhead    = 200
)

// loss says what a session could not be counted in for want of room.
type loss string

const (
	lostNothing loss = ""
	lostDomain  loss = "domain"
	lostPolicy  loss = "policy"
	lostDetail  loss = "detail"
)

func newTally() *tally { return &tally{policies: map[string]*policyTally{}, size: overhead} }

// add counts a session that was cleaned. It takes no more than room octets.
func (t *tally) add(s *Session, room int) loss {
	key := s.Policy.key()
	p := t.policies[key]
	if p == nil {
		cost := overhead + 2*len(key)
		if len(t.policies) >= maxPolicies || cost > room {
			return lostPolicy
		}
		p = &policyTally{policy: s.Policy, details: map[Failure]uint64{}}
		t.policies[key] = p
		t.size += cost
		room -= cost
	}
	if len(s.Failures) == 0 {
		p.successful++
		return lostNothing
	}
	p.failures++
	return t.detail(p, s.Failures, room)
}

// detail counts the failures of one session, each once.
func (t *tally) detail(p *policyTally, failures []Failure, room int) (lost loss) {
	for i, f := range failures {
		if slices.Contains(failures[:i], f) {
			continue
		}
		if _, known := p.details[f]; !known {
			cost := overhead + f.size()
			if len(p.details) >= maxDetails || cost > room {
				lost = lostDetail
				continue
			}
			t.size += cost
			room -= cost
		}
		p.details[f]++
	}
	return lost
}

func (f *Failure) size() int {
	return len(f.Result) + len(f.MXHost) + len(f.MXHelo) + len(f.Reason) + len(f.Information)
}

// key is equal for equal policies.
func (p *Policy) key() string {
	parts := append([]string{string(p.Type), string(p.Domain), "\n"}, p.Strings...)
	return strings.Join(append(append(parts, "\n"), p.MXHosts...), "\x00")
}

// sessions returns the numbers over all policies.
func (t *tally) sessions() (successful, failed uint64) {
	for _, p := range t.policies {
		successful += p.successful
		failed += p.failures
	}
	return successful, failed
}

// results lists what was counted in an order of its own: by type, domain and
// policy, and within by what failed.
func (t *tally) results(about mail.Domain) []PolicyResult {
	var all []PolicyResult
	for _, p := range t.policies {
		all = append(all, p.result(about))
	}
	slices.SortFunc(all, func(a, b PolicyResult) int {
		return cmp.Or(
			cmp.Compare(a.Policy.Type, b.Policy.Type), cmp.Compare(a.Policy.Domain, b.Policy.Domain),
			slices.Compare(a.Policy.Strings, b.Policy.Strings), slices.Compare(a.Policy.MXHosts, b.Policy.MXHosts))
	})
	return all
}

func (p *policyTally) result(about mail.Domain) PolicyResult {
	r := PolicyResult{
		Policy: ReportedPolicy{
			Type: p.policy.Type, Strings: p.policy.Strings,
			Domain: cmp.Or(p.policy.Domain, about), MXHosts: p.policy.MXHosts,
		},
		Summary: Summary{p.successful, p.failures},
	}
	for f, n := range p.details {
		r.Failures = append(r.Failures, FailureDetails{
			Result: f.Result, SendingIP: f.SendingIP, MXHost: f.MXHost, MXHelo: f.MXHelo, ReceivingIP: f.ReceivingIP,
			Sessions: n, Information: f.Information, Reason: f.Reason,
		})
	}
	slices.SortFunc(r.Failures, func(a, b FailureDetails) int {
		return cmp.Or(
			cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Result, b.Result), cmp.Compare(a.MXHost, b.MXHost),
			a.ReceivingIP.Compare(b.ReceivingIP), a.SendingIP.Compare(b.SendingIP), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.MXHelo, b.MXHelo), cmp.Compare(a.Information, b.Information))
	})
	return r
}
