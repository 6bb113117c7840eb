package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Route is how mail for one domain leaves.
type Route struct {
	// Site names the provider: limits and back-off are kept for it.
	Site string
	// Hosts in the order in which they are to be tried; never empty.
	Hosts []Host
	// Barred are hosts that policies took out.
	Barred []Host
	// Relay holds for a static route; nil for one from DNS.
	Relay *Relay
	// Findings are what policies found wrong on the way, hosts that they took
	// out included.
	Findings []Finding
}

// Key is equal for two routes exactly when a connection for one serves the
// other: the same hosts, in the same groups of preference, under the same
// protection, with the same relay. The random order within a group does not
// matter.
func (r *Route) Key() string {
	hosts := slices.Clone(r.Hosts)
	slices.SortFunc(hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Name, b.Name))
	})
	var b strings.Builder
	for i, h := range hosts {
		if i > 0 && h.Preference != hosts[i-1].Preference {
			b.WriteByte('|')
		}
		b.WriteString(h.Name)
		if r.Relay != nil && len(h.Addrs) > 0 { // one host may have several doors
			fmt.Fprintf(&b, ":%d", h.Addrs[0].Port())
		}
		b.WriteByte(' ')
		if key := h.TLS.Key(); key != "" {
			b.WriteString("(" + key + ") ")
		}
	}
	if r.Relay != nil {
		fmt.Fprintf(&b, "relay %q %s %t", r.Relay.Username, r.Relay.TLS, r.Relay.ImplicitTLS)
	}
	return b.String()
}

// Host is a mail exchanger.
type Host struct {
	// Name is the host name, which certificates are checked against; an address
	// where there is no name.
	Name       string
	Preference uint16
	// Addrs in the order in which they are to be tried.
	Addrs []netip.AddrPort
	// TLS is what a connection to the host must prove.
	TLS Protection
}

// Relay is what a static route adds.
type Relay struct {
	Username, Password string
	TLS                mail.TLSFloor
	ImplicitTLS        bool
}

// Error says why there is no route. Reply is what the recipient's event will
// carry: permanent or temporary as the cause is.
type Error struct {
	Domain mail.Domain
	Reply  mail.Reply
	Err    error
	// Findings are what policies found wrong on the way.
	Findings []Finding
	// Barred is a route to hosts that policies took out, all of them: mail that
	// waives policies can take it. Nil for none.
	Barred *Route
}

// Waivable returns the route that is left to those who demand so and waive
// policies; nil for none.
func (e *Error) Waivable(d Demand) *Route {
	if e.Barred == nil || len(e.Barred.Barred) == 0 || d.RequireTLS {
		return nil
	}
	return e.Barred
}

// Error names the domain and the cause.
func (e *Error) Error() string { return "route to " + string(e.Domain) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Causes that Error wraps.
var (
	// ErrNullMX: the domain takes no mail (RFC 7505); 556 5.1.10.
	ErrNullMX = errors.New("domain does not accept mail (null MX)")
	// ErrNoDomain: NXDOMAIN; 550 5.1.2.
	ErrNoDomain = errors.New("domain does not exist")
	// ErrNoHosts: neither MX nor address records, or none that resolve; 550 5.1.2
	// where DNS is sure, 451 4.4.3 where it is not.
	ErrNoHosts = errors.New("domain has no mail exchanger")
	// ErrResolver: DNS did not answer; 451 4.4.3.
	ErrResolver = errors.New("name resolution failed")
	// ErrForbidden: every address is one that the configuration forbids, such as
	// those of loopback interfaces and private networks; 550 5.4.4.
	ErrForbidden = errors.New("mail exchanger has no allowed address")
	// ErrLoop: the best mail exchanger is this host; 550 5.4.6.
	ErrLoop = errors.New("mail for the domain loops back to this host")
	// ErrPolicy: a policy of the domain leaves no host; 451 4.7.5.
	ErrPolicy = errors.New("TLS policy leaves no mail exchanger")
)
