package route

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Protection is what TLS must prove on a connection to one host, and why. The
// zero Protection is that of opportunistic TLS without any policy.
type Protection struct {
	// Floor is the least protection.
	Floor mail.TLSFloor
	// ServerName goes into the server name indication, and is what certificates
	// are checked against; empty for the name of the host.
	ServerName string
	// Verify judges the server under mail.TLSVerified in place of the public
	// authorities; nil where those judge.
	Verify func(tls.ConnectionState) error
	// RequireTLS: the server must offer REQUIRETLS (RFC 8689), and MAIL carries
	// it.
	RequireTLS bool
	// Policy is the one that was found for the host, whether it is enforced or
	// not.
	Policy Policy
	// Waived: the message did without the policies; they have no result.
	Waived bool
	// Reason says in words what the protection rests on.
	Reason string

	// verifyKey stands for Verify in Key.
	verifyKey string
	// fixed: the floor of a static route, which a configured one does not raise.
	fixed bool
}

// Key is equal for two protections of one host exactly when a connection under
// one serves the other, and an encrypted session of one may be resumed for the
// other. It is empty for the zero Protection.
func (p *Protection) Key() string {
	var words []string
	if p.Floor != mail.TLSOpportunistic {
		words = append(words, p.Floor.String())
	}
	if p.verifyKey != "" {
		words = append(words, p.verifyKey)
	}
	if p.RequireTLS {
		words = append(words, "requiretls")
	}
	return strings.Join(words, " ")
}

// Basis names what a server proves itself by that is verified under p: "dane",
// "mta-sts" or "webpki".
func (p *Protection) Basis() string {
	switch {
	case p.Verify != nil:
		return "dane"
	case p.Policy.Type == PolicySTS && !p.Policy.Testing:
		return "mta-sts"
	}
	return "webpki"
}

// PolicyType is what TLSRPT calls a kind of policy (RFC 8460 section 4.4).
type PolicyType string

const (
	PolicyTLSA PolicyType = "tlsa"
	PolicySTS  PolicyType = "sts"
	NoPolicy   PolicyType = "no-policy-found"
)

// Policy is a policy as TLSRPT reports it (RFC 8460 section 4.4).
type Policy struct {
	Type PolicyType
	// Strings are the lines of an MTA-STS policy, or the TLSA records.
	Strings []string
	// Domain is where the policy is: the recipient's domain, or the TLSA base
	// domain.
	Domain mail.Domain
	// MXHosts are the patterns of an MTA-STS policy.
	MXHosts []string
	// Testing: an MTA-STS policy whose failures are only reported.
	Testing bool
}

// Finding is something that a policy found wrong before any connection.
type Finding struct {
	Result Result
	Policy Policy
	// Host that it is about; empty for the domain as a whole.
	Host string
	// Dropped: the host is not used.
	Dropped bool
	// Reason in words.
	Reason string
}

// Demand is what a sender asks of a connection, whatever the recipient's
// domain says: of a stream, a destination, or one message.
type Demand struct {
	// Floor is the least protection; a policy may ask for more.
	Floor mail.TLSFloor
	// RequireTLS asks for RFC 8689.
	RequireTLS bool
	// Waive: the policies of the recipient's domain do not count (RFC 8689
	// section 5); a Floor does.
	Waive bool
}

// With returns the demand together with what one message asks.
func (d Demand) With(e *mail.Envelope) Demand {
	d.RequireTLS = d.RequireTLS || e.RequireTLS
	d.Waive = d.Waive || e.WaiveTLS
	return d
}

// Under returns the route with every host's protection raised to what is
// demanded, or lowered where policies are waived; the route itself stays as it
// is. The floor of a static route is the operator's and holds against every
// other, but not against REQUIRETLS.
func (r *Route) Under(d Demand) *Route {
	raised := *r
	raised.Hosts = r.usable(d)
	for i, h := range raised.Hosts {
		if r.Relay != nil {
			h.TLS.Floor, h.TLS.fixed = r.Relay.TLS, true
		}
		h.TLS.raise(d)
		raised.Hosts[i] = h
	}
	return &raised
}

// usable returns a copy of the hosts that may be used; without the policies
// that are waived, and all of them then.
func (r *Route) usable(d Demand) []Host {
	if !d.Waive || d.RequireTLS || r.Relay != nil {
		return slices.Clone(r.Hosts)
	}
	all := slices.Concat(r.Hosts, r.Barred)
	slices.SortStableFunc(all, func(a, b Host) int { return cmp.Compare(a.Preference, b.Preference) })
	for i := range all {
		all[i].TLS = Protection{Waived: true, Reason: "the message waives TLS policies (TLS-Required: No)"}
	}
	return all
}

// strength orders floors: mail.TLSNone only says that nothing is asked for.
func strength(f mail.TLSFloor) int {
	switch f {
	case mail.TLSNone:
		return 0
	case mail.TLSOpportunistic:
		return 1
	case mail.TLSEncrypted:
		return 2
	default:
		return 3
	}
}

func (p *Protection) raise(d Demand) {
	if d.RequireTLS {
		p.RequireTLS = true
		p.lift(mail.TLSVerified, "REQUIRETLS asks for "+mail.TLSVerified.String())
		return
	}
	if p.fixed {
		return
	}
	if d.Floor == mail.TLSNone && p.Floor == mail.TLSOpportunistic {
		p.Floor = mail.TLSNone
		p.explain("the configured floor is " + d.Floor.String())
		return
	}
	p.lift(d.Floor, "the configured floor is "+d.Floor.String())
}

// lift raises the floor where it is lower, for a reason.
func (p *Protection) lift(floor mail.TLSFloor, reason string) {
	if strength(floor) > strength(p.Floor) {
		p.Floor = floor
		p.explain(reason)
	}
}

func (p *Protection) explain(reason string) {
	if p.Reason == "" {
		p.Reason = reason
		return
	}
	p.Reason = fmt.Sprintf("%s; %s", p.Reason, reason)
}
