package config

import (
	"net/netip"
	"time"
)

// Delivery says how mail leaves.
type Delivery struct {
	// EHLOName is what the client calls itself.
	EHLOName string `toml:"ehlo_name" is:"hostname" restart:"true"`
	// SourceIPv4 and SourceIPv6 bind outgoing connections where there is no
	// [[source]]; the zero Addr leaves the choice to the system.
	SourceIPv4 netip.Addr `toml:"source_ipv4" is:"ipv4" restart:"true"`
	SourceIPv6 netip.Addr `toml:"source_ipv6" is:"ipv6" restart:"true"`
	// Pool is that of tenants and streams that name none.
	Pool string `toml:"pool" is:"name"`
	// IPv4 and IPv6 say which addresses of a mail exchanger are tried.
	IPv4 bool `toml:"ipv4"`
	IPv6 bool `toml:"ipv6"`
	// Port of mail exchangers.
	Port int `toml:"port" min:"1" max:"65535"`
	// Resolvers are name servers, host:port; empty for those of the system.
	Resolvers []string `toml:"resolvers" is:"resolver"`
	// TrustResolver believes what Resolvers say of DNSSEC, wherever they are.
	TrustResolver bool `toml:"trust_resolver"`
	// AllowLoopback lets mail exchangers be on loopback addresses, AllowPrivate
	// on private and link-local ones.
	AllowLoopback bool `toml:"allow_loopback"`
	AllowPrivate  bool `toml:"allow_private"`
	// ProvidersFile goes over the provider rules that the daemon brings along.
	ProvidersFile string `toml:"providers_file" is:"file"`
	// Connections at once, over all sites.
	Connections int `toml:"connections" min:"1" max:"100000" restart:"true"`
	// ConnectionsPerSite, MessagesPerConnection (0 for no limit) and Rate
	// bound each site that [[site]] does not name.
	ConnectionsPerSite    int  `toml:"connections_per_site" min:"1" max:"100000"`
	MessagesPerConnection int  `toml:"messages_per_connection" min:"0"`
	Rate                  Rate `toml:"rate"`
	// RecipientsPerTransaction share one copy of a message.
	RecipientsPerTransaction int `toml:"recipients_per_transaction" min:"1" max:"10000" restart:"true"`
	// ReadyRecipients is how many due recipients are held in memory.
	ReadyRecipients int `toml:"ready_recipients" min:"1" restart:"true"`
	// IdleTimeout closes a connection that has nothing to carry.
	IdleTimeout time.Duration `toml:"idle_timeout" min:"0s" max:"10m" restart:"true"`
	// DrainTimeout is how long a stop waits for what is in flight.
	DrainTimeout time.Duration `toml:"drain_timeout" min:"0s" max:"1h" restart:"true"`
	// TLS is the least protection towards mail exchangers.
	TLS      string   `toml:"tls" oneof:"opportunistic none encrypted verified" restart:"true"`
	Timeouts Timeouts `toml:"timeouts" restart:"true"`
}

// Timeouts bound the steps of an outgoing connection (RFC 5321 section
// 4.5.3.2).
type Timeouts struct {
	Connect  time.Duration `toml:"connect" min:"1ms" max:"1h"`
	TLS      time.Duration `toml:"tls" min:"1ms" max:"1h"`
	Greeting time.Duration `toml:"greeting" min:"1ms" max:"1h"`
	Command  time.Duration `toml:"command" min:"1ms" max:"1h"`
	Data     time.Duration `toml:"data" min:"1ms" max:"1h"`
	Block    time.Duration `toml:"block" min:"1ms" max:"1h"`
	Final    time.Duration `toml:"final" min:"1ms" max:"1h"`
	Quit     time.Duration `toml:"quit" min:"1ms" max:"1h"`
}

// Site overrides the limits of one provider. What it leaves out stays zero, and
// is as the provider's rules and [delivery] have it.
type Site struct {
	// Match is the site's name: the domain of the provider's mail exchangers,
	// or the destination domain.
	Match       string `toml:"match" is:"domain" required:"true"`
	Connections int    `toml:"connections" min:"0" max:"100000"`
	// MessagesPerConnection is -1 for no limit.
	MessagesPerConnection int  `toml:"messages_per_connection" min:"-1"`
	Rate                  Rate `toml:"rate"`
	// Family is which addresses of its hosts are tried, and in which order.
	Family string `toml:"family" oneof:"default any prefer-ipv4 prefer-ipv6 ipv4 ipv6"`
}

func (s *Site) setDefaults() { s.Family = Inherited }

// Inherited is the word for: as elsewhere.
const Inherited = "default"

// TLSFloor is the least protection on the way to one domain.
type TLSFloor struct {
	// Match is a destination domain; it holds for those below it too.
	Match string `toml:"match" is:"domain" required:"true"`
	Floor string `toml:"floor" oneof:"opportunistic none encrypted verified" required:"true"`
}

// TLSReports are what domains that ask for it are told of TLS to them (RFC
// 8460).
type TLSReports struct {
	// From sends them; empty for no reports.
	From string `toml:"from" is:"address"`
	// Organization is who reports; empty for the hostname.
	Organization string `toml:"organization"`
	// Contact is whom readers may write to; empty for From.
	Contact string `toml:"contact" is:"address"`
}

// Route sends mail for some domains to named hosts instead of those in DNS.
type Route struct {
	// Match is a destination domain, or * for all that no other route names.
	Match string `toml:"match" is:"match" required:"true"`
	// Via are host:port, in the order in which they are tried.
	Via          []string   `toml:"via" is:"hostport" required:"true"`
	Username     string     `toml:"username"`
	PasswordFile SecretFile `toml:"password_file"`
	TLS          string     `toml:"tls" oneof:"opportunistic none encrypted verified"`
	ImplicitTLS  bool       `toml:"implicit_tls"`
}

func (r *Route) setDefaults() { r.TLS = "opportunistic" }
