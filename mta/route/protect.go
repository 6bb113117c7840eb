package route

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route/dane"
	"github.com/postrider-mta/postrider/mta/route/sts"
)

// foresee begins what protect will ask, beside the look-up of the hosts.
func (r *Router) foresee(domain mail.Domain) {
	if r.sts != nil {
		r.resolver.begin(question{"_mta-sts." + string(domain), dns.TypeTXT})
	}
}

// protect gives the route its hosts, each with the protection that the
// policies ask for: DANE goes before MTA-STS (RFC 8461 section 2). Hosts that
// they forbid are left out.
func (r *Router) protect(ctx context.Context, route *Route, candidates []candidate, hop nextHop) error {
	if r.dane {
		r.foreseeTLSA(candidates)
	}
	found := r.policyOf(ctx, route, hop.domain)
	var causes []error
	for _, c := range candidates {
		judged := judgement{host: c.Host, hop: hop, sts: found, without: r.without}
		if r.dane {
			judged.tlsa, judged.failure = r.tlsa(ctx, c.Name, c.at, hop)
		}
		if err := ctx.Err(); err != nil {
			return err // what was found until then may be less than there is
		}
		if judged.judge() {
			route.Hosts = append(route.Hosts, judged.host)
		} else {
			route.Barred = append(route.Barred, judged.host)
		}
		if judged.failure != nil {
			causes = append(causes, judged.failure)
		}
		route.Findings = append(route.Findings, judged.findings...)
	}
	if len(route.Hosts) == 0 {
		last := route.Findings[len(route.Findings)-1]
		return &refusal{fmt.Sprintf("%v: %s: %s", ErrPolicy, last.Host, last.Reason), causes}
	}
	return nil
}

// foreseeTLSA begins the questions of all hosts at once.
func (r *Router) foreseeTLSA(candidates []candidate) {
	for _, c := range candidates {
		if c.at.secure {
			r.resolver.begin(r.tlsaQuestion(c.at.owner))
		}
	}
}

// policyOf returns the MTA-STS policy of the domain, and notes in the route why
// there is none or no newer one.
func (r *Router) policyOf(ctx context.Context, route *Route, domain mail.Domain) sts.Found {
	if r.sts == nil {
		return sts.Found{}
	}
	found := r.sts.Lookup(ctx, domain)
	for _, cause := range []error{sts.ErrFetch, sts.ErrWebPKI, sts.ErrInvalid} {
		if errors.Is(found.Err, cause) {
			route.Findings = append(route.Findings, Finding{
				Result: discoveryResult(found.Err), Policy: Policy{Type: PolicySTS, Domain: domain}, Reason: found.Err.Error(),
			})
			break
		}
	}
	return found
}

// judgement is what policies say of one host.
type judgement struct {
	host Host
	hop  nextHop
	// tlsa is nil without TLSA records; failure says that they are unknown.
	tlsa    *dane.Policy
	failure error
	sts     sts.Found
	// without says why there may be no policy.
	without  string
	findings []Finding
}

// judge sets the host's protection, and reports whether it may be used.
func (j *judgement) judge() bool {
	p := &j.host.TLS
	if j.failure != nil {
		j.find(DNSSECInvalid, Policy{Type: PolicyTLSA, Domain: mail.Domain(j.host.Name)}, true, "its TLSA records cannot be looked up")
		return false
	}
	*p = unprotected(j.hop.domain, "")
	if j.tlsa != nil {
		p.Policy = Policy{Type: PolicyTLSA, Strings: j.tlsa.Strings(), Domain: mail.Domain(j.tlsa.Base())}
		if !j.tlsa.Authenticates() {
			j.encrypt(p)
		} else if j.sts.Policy.Mode != sts.Enforce || j.hop.secure || j.hop.direct {
			authenticate(p, j.tlsa, j.hop)
			return true
		}
	}
	if mode := j.sts.Policy.Mode; mode == sts.Enforce || mode == sts.Testing {
		return j.follow(p)
	}
	if j.tlsa == nil {
		p.explain(j.without)
	}
	return true
}

// unprotected is what holds without a policy.
func unprotected(domain mail.Domain, reason string) Protection {
	return Protection{Policy: Policy{Type: NoPolicy, Domain: domain}, Reason: reason}
}

// encrypt keeps what TLSA records promise that cannot be used to authenticate
// (RFC 7672 section 2.2).
func (j *judgement) encrypt(p *Protection) {
	p.lift(mail.TLSEncrypted, fmt.Sprintf("none of the TLSA records of %s can be used: they ask for encryption alone", j.tlsa.Base()))
	j.find(TLSAInvalid, p.Policy, false, errors.Join(j.tlsa.Problems()...).Error())
}

// authenticate turns TLSA records into a check of certificates.
func authenticate(p *Protection, policy *dane.Policy, hop nextHop) {
	p.ServerName = policy.Base()
	p.verifyKey = "dane " + policy.Key()
	p.Verify = func(state tls.ConnectionState) error { return policy.Verify(state.PeerCertificates, time.Now()) }
	p.lift(mail.TLSVerified, "DANE: the certificate must match the TLSA records of "+policy.Base())
	if !hop.secure && !hop.direct {
		p.explain("the MX records that led there are not authentic")
	}
}

// follow applies the MTA-STS policy (RFC 8461 section 5).
func (j *judgement) follow(p *Protection) bool {
	policy := j.sts.Policy
	testing := policy.Mode == sts.Testing
	report := Policy{
		Type: PolicySTS, Strings: policy.Lines(), Domain: j.hop.domain, MXHosts: policy.MX, Testing: testing,
	}
	if j.tlsa == nil || !testing {
		p.Policy = report
	}
	allowed := policy.Allows(mail.Domain(j.host.Name))
	if !allowed {
		j.find(ValidationFailure, report, !testing, "the MTA-STS policy does not name the host")
	}
	if testing {
		p.explain("MTA-STS in testing mode: failures are only reported")
		return true
	}
	p.lift(mail.TLSVerified, fmt.Sprintf("MTA-STS policy %s, until %s", j.sts.ID, j.sts.Expires.UTC().Format(time.RFC3339)))
	return allowed
}

func (j *judgement) find(result Result, policy Policy, dropped bool, reason string) {
	j.findings = append(j.findings, Finding{Result: result, Policy: policy, Host: j.host.Name, Dropped: dropped, Reason: reason})
}
