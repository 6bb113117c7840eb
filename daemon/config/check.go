package config

import (
	"net/netip"
	"slices"
	"strings"
)

// check finds the mistakes that no key has alone.
func (d *decoder) check(c *Config) {
	d.checkListeners(c)
	d.checkQueue(&c.Queue)
	d.checkDelivery(&c.Delivery)
	d.checkSources(c)
	d.checkPools(c)
	d.checkRoutes(c)
	d.checkTenants(c)
	d.checkCredentials(c)
	d.checkKeys(c)
	d.checkTracking(c)
	d.checkRates(&c.Rates)
	d.checkTrackingTLS(&c.Tracking)
	d.checkBounces(c)
	if c.Limits.DataMemory < c.Limits.MessageSize {
		d.problems.add(d.at("limits.data_memory", "limits.data_memory", "limits.message_size"), "expected at least message_size")
	}
}

// unique reports the second use of a value in an array of tables.
type unique struct {
	d    *decoder
	seen map[string]place
}

func (d *decoder) unique() *unique { return &unique{d, map[string]place{}} }

func (u *unique) add(value string, at place) {
	if value == "" || strings.HasSuffix(value, ":0") {
		return // missing or wrong, and reported so; or any port
	}
	if first, ok := u.seen[value]; ok {
		u.d.problems.add(at, "expected another value than %s has in line %d", first.key, first.line)
		return
	}
	u.seen[value] = at
}

func (d *decoder) checkListeners(c *Config) {
	names, addresses := d.unique(), d.unique()
	for i := range c.Listeners {
		l, at := &c.Listeners[i], path("listener", i)
		names.add(l.Name, d.at("listener.name", at+".name"))
		addresses.add(l.Address, d.at("listener.address", at+".address"))
		d.checkProtection(l, at)
		d.checkTrust(c, l, at)
	}
	for i, address := range c.Bounces.Listen {
		addresses.add(address, d.at("bounces.listen", path("bounces.listen", i), "bounces.listen"))
	}
	addresses.add(c.Tracking.Listen, d.at("tracking.listen", "tracking.listen"))
	addresses.add(c.Tracking.HTTPListen, d.at("tracking.http_listen", "tracking.http_listen"))
	addresses.add(c.Admin.HTTP, d.at("admin.http", "admin.http"))
}

// checkProtection holds TLS against certificate and key.
func (d *decoder) checkProtection(l *Listener, at string) {
	has := func(key string) bool { return d.isGiven(at + "." + key) }
	for _, key := range []string{"certificate", "key"} {
		where := d.at("listener."+key, at+"."+key, at+".tls", at)
		switch {
		case l.TLS == "none" && has(key):
			d.problems.add(where, `expected only with tls = "starttls" or "implicit"`)
		case l.TLS != "none" && l.TLS != "" && !has(key):
			d.problems.add(where, "missing; expected with tls = %q", l.TLS)
		}
	}
	if l.TLS == "none" && !l.Unix() && !has("trusted_networks") && !onLoopback(l.Address) {
		d.problems.add(d.at("listener.tls", at+".tls", at+".address", at),
			`expected "starttls" or "implicit": on this address nobody could log in without, and no network is trusted`)
	}
}

func onLoopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	// What is no address is reported as such.
	return address == "" || err == nil && a.Addr().Unmap().IsLoopback()
}

// checkTrust holds what unauthenticated clients may do against who they are.
func (d *decoder) checkTrust(c *Config, l *Listener, at string) {
	if l.Address == "" {
		return // missing or wrong, and reported so
	}
	networks := d.isGiven(at + ".trusted_networks")
	if l.AnyFrom && !networks && !l.Unix() {
		d.problems.add(d.at("listener.any_from", at+".any_from"), "expected only with trusted_networks or on a unix socket")
	}
	if d.isSet(at+".socket_mode") && !l.Unix() {
		d.problems.add(d.at("listener.socket_mode", at+".socket_mode"), "expected only on a unix socket")
	}
	if networks && l.Unix() {
		d.problems.add(d.at("listener.trusted_networks", at+".trusted_networks"), "expected only on a host and port: who may open a unix socket is trusted")
	}
	if networks || l.Unix() {
		d.needTenant(c, "listener", at)
	}
	d.checkTenantName(c, l.Tenant, d.at("listener.tenant", at+".tenant", at))
}

// needTenant reports a tenant left out where there are several.
func (d *decoder) needTenant(c *Config, table, at string) {
	if len(c.Tenants) > 1 && !d.isGiven(at+".tenant") {
		d.problems.add(d.at(table+".tenant", at+".tenant", at), "missing; expected the name of a [[tenant]], as there are several")
	}
}

func (d *decoder) checkTenantName(c *Config, name string, at place) {
	known := slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return t.Name == name })
	if name != "" && !known {
		d.problems.add(at, "expected the name of a [[tenant]], not %q", name)
	}
}

func (d *decoder) checkQueue(q *Queue) {
	if q.RetryFirst > q.RetryMax {
		d.problems.add(d.at("queue.retry_first", "queue.retry_first", "queue.retry_max"), "expected at most retry_max")
	}
}

func (d *decoder) checkRates(r *Rates) {
	if r.BounceWarn > r.BounceAct {
		d.problems.add(d.at("rates.bounce_warn", "rates.bounce_warn", "rates.bounce_act"), "expected at most bounce_act (%g)", r.BounceAct)
	}
	if r.ComplaintWarn > r.ComplaintAct {
		d.problems.add(d.at("rates.complaint_warn", "rates.complaint_warn", "rates.complaint_act"), "expected at most complaint_act (%g)", r.ComplaintAct)
	}
}

func (d *decoder) checkDelivery(delivery *Delivery) {
	d.checkFamilies("delivery", "delivery", "source_ipv4", delivery.SourceIPv4, "source_ipv6", delivery.SourceIPv6)
	if !delivery.IPv4 && !delivery.IPv6 {
		d.problems.add(d.at("delivery.ipv6", "delivery.ipv6", "delivery.ipv4"), "expected ipv4 or ipv6 to be true")
	}
	if delivery.ConnectionsPerSite > delivery.Connections {
		d.problems.add(d.at("delivery.connections_per_site", "delivery.connections_per_site", "delivery.connections"),
			"expected at most connections (%d)", delivery.Connections)
	}
}

func (d *decoder) checkRoutes(c *Config) {
	sites, matches, floors := d.unique(), d.unique(), d.unique()
	for i := range c.TLSFloors {
		floors.add(c.TLSFloors[i].Match, d.at("tls.match", path("tls", i)+".match"))
	}
	for i := range c.Sites {
		sites.add(c.Sites[i].Match, d.at("site.match", path("site", i)+".match"))
	}
	for i := range c.Routes {
		r, at := &c.Routes[i], path("route", i)
		matches.add(r.Match, d.at("route.match", at+".match"))
		switch user, password := r.Username != "", d.isGiven(at+".password_file"); {
		case user && !password:
			d.problems.add(d.at("route.password_file", at+".username"), "missing; expected with username")
		case password && !user:
			d.problems.add(d.at("route.username", at+".password_file"), "missing; expected with password_file")
		}
		if r.ImplicitTLS && r.TLS == "none" {
			d.problems.add(d.at("route.implicit_tls", at+".implicit_tls"), `expected only with another tls than "none"`)
		}
	}
}

func (d *decoder) checkTenants(c *Config) {
	names := d.unique()
	for i := range c.Tenants {
		t, at := &c.Tenants[i], path("tenant", i)
		names.add(t.Name, d.at("tenant.name", at+".name"))
		streams := d.unique()
		for j := range t.Streams {
			key := at + "." + path("stream", j)
			if d.isSet(key) {
				streams.add(t.Streams[j].Name, d.at("tenant.stream.name", key+".name"))
			}
		}
		if t.DefaultStream != "" && !slices.ContainsFunc(t.Streams, func(s Stream) bool { return s.Name == t.DefaultStream }) {
			d.problems.add(d.at("tenant.default_stream", at+".default_stream", at), "expected the name of one of the tenant's streams, not %q", t.DefaultStream)
		}
		if t.DKIMDomain != "" && !slices.ContainsFunc(c.DKIM, func(k DKIMKey) bool { return k.Domain == t.DKIMDomain }) {
			d.problems.add(d.at("tenant.dkim_domain", at+".dkim_domain", at), "expected a domain with a [[dkim]] key, not %q", t.DKIMDomain)
		}
	}
}

func (d *decoder) checkCredentials(c *Config) {
	usernames := d.unique()
	for i := range c.Credentials {
		r, at := &c.Credentials[i], path("credential", i)
		usernames.add(r.Username, d.at("credential.username", at+".username"))
		d.needTenant(c, "credential", at)
		d.checkTenantName(c, r.Tenant, d.at("credential.tenant", at+".tenant", at))
		inline, file := d.isGiven(at+".password_hash"), d.isGiven(at+".password_hash_file")
		switch {
		case inline && file:
			d.problems.add(d.at("credential.password_hash_file", at+".password_hash_file"), "expected only without password_hash")
		case !inline && !file:
			d.problems.add(d.at("credential.password_hash", at), "missing; expected it or password_hash_file")
		}
	}
}

func (d *decoder) checkKeys(c *Config) {
	selectors := d.unique()
	for i := range c.DKIM {
		k, at := &c.DKIM[i], path("dkim", i)
		if k.Domain != "" && k.Selector != "" {
			selectors.add(k.Selector+"._domainkey."+k.Domain, d.at("dkim.selector", at+".selector"))
		}
	}
}

// checkTracking holds the tracker against those who point to it.
func (d *decoder) checkTracking(c *Config) {
	used := func(t Tenant) bool { return t.TrackingURL != "" }
	if c.Tracking.Listen != "" && !slices.ContainsFunc(c.Tenants, used) && !d.isGiven("tracking.url") {
		d.problems.add(d.at("tracking.url", "tracking.url", "tracking.listen"), "missing; expected with listen, where no tenant has a tracking_url")
	}
	if c.Tracking.Listen != "" || d.isGiven("tracking.listen") {
		return
	}
	const unanswered = "expected only with [tracking] listen: nothing would answer the links"
	if c.Tracking.URL != "" {
		d.problems.add(d.at("tracking.url", "tracking.url"), unanswered)
	}
	for i := range c.Tenants {
		if at := path("tenant", i) + ".tracking_url"; c.Tenants[i].TrackingURL != "" && d.isSet(at) {
			d.problems.add(d.at("tenant.tracking_url", at), unanswered)
		}
	}
}

// checkTrackingTLS holds what the tracker needs for TLS against what it has.
func (d *decoder) checkTrackingTLS(t *Tracking) {
	certificates := d.at("tracking.certificate", "tracking.certificate", "tracking.tls")
	switch has := len(t.Certificates) > 0; {
	case t.TLS == "files" && !has && !d.isSet("tracking.certificate"):
		d.problems.add(certificates, `missing; expected at least one [[tracking.certificate]] with tls = "files"`)
	case t.TLS != "files" && t.TLS != "" && has:
		d.problems.add(certificates, `expected only with tls = "files"`)
	}
	if t.TLS == "acme" && !t.ACME.TermsAccepted {
		d.problems.add(d.at("tracking.acme.terms_accepted", "tracking.acme.terms_accepted", "tracking.acme", "tracking.tls"),
			`expected true with tls = "acme": the authority issues to those who agree to its terms of service`)
	}
	if t.TLS != "acme" && t.TLS != "" && d.isSet("tracking.acme") {
		d.problems.add(d.at("tracking.acme", "tracking.acme"), `expected only with tls = "acme"`)
	}
	if t.HTTPListen != "" && t.TLS == "none" {
		d.problems.add(d.at("tracking.http_listen", "tracking.http_listen"), `expected only with tls = "files" or "acme": it leads to https`)
	}
	if d.isGiven("tracking.tls") && t.TLS != "none" && t.TLS != "" && !d.isGiven("tracking.listen") {
		d.problems.add(d.at("tracking.tls", "tracking.tls"), "expected only with listen")
	}
}
