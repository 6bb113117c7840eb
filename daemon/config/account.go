package config

import "time"

// Names of what always exists.
const (
	defaultTenant = "default"
	transactional = "transactional"
	marketing     = "marketing"
)

// What submission does about suppressed recipients.
const (
	refuseSuppressed = "refuse"
	// DropSuppressed accepts them and drops them when their turn comes.
	DropSuppressed = "drop"
)

// Of what senders are told by DSN where no more is said.
const (
	notifyAsked = "asked"
	// notifyOff is for marketing, where events take the place of DSNs.
	notifyOff = "off"
)

// Tenant is a customer whose mail and contacts are kept apart from every
// other's.
type Tenant struct {
	Name string `toml:"name" is:"name" required:"true"`
	// DefaultStream receives mail that names no stream.
	DefaultStream string `toml:"default_stream" is:"name"`
	// HideClient leaves the submitting client's address out of Received.
	HideClient bool `toml:"hide_client"`
	// DKIMDomain signs mail whose From domain has no key of its own.
	DKIMDomain string `toml:"dkim_domain" is:"domain"`
	// TrackingURL is the public base of the tenant's tracker.
	TrackingURL string `toml:"tracking_url" is:"baseurl"`
	// BounceDomain is that of the tenant's return paths; empty for that of
	// [bounces].
	BounceDomain string `toml:"bounce_domain" is:"domain"`
	// Measure bounds what is kept of readers, in all streams.
	Measure string `toml:"measure" oneof:"individual aggregate hygiene none"`
	// DisplayName is what readers know the tenant by; empty for Name. Language
	// is theirs where their browsers name none that there are texts in.
	DisplayName string `toml:"display_name" is:"line"`
	Language    string `toml:"language" oneof:"en de fr es it"`
	// MaxMessages and MaxBytes may be waiting, MaxPerHour messages be accepted
	// in any hour; zero for no limit.
	MaxMessages int  `toml:"max_messages" min:"0"`
	MaxBytes    Size `toml:"max_bytes" min:"0B"`
	MaxPerHour  int  `toml:"max_per_hour" min:"0" max:"1000000000"`
	// Windows are when mail may leave, in TimeZone, where a stream does not
	// say; none for always.
	Windows  []string `toml:"windows" is:"window"`
	TimeZone string   `toml:"time_zone" is:"timezone"`
	// Pool that the tenant's mail leaves by; empty for that of [delivery].
	Pool string `toml:"pool" is:"name"`
	// Streams hold transactional and marketing, whether named or not.
	Streams []Stream `toml:"stream"`
}

func (t *Tenant) setDefaults() {
	t.DefaultStream, t.TimeZone, t.Measure, t.Language = transactional, "UTC", "individual", "en"
}

// Stream is one purpose of mail and the rules for it.
type Stream struct {
	Name string `toml:"name" is:"name" required:"true"`
	// Track is what is measured when the message does not say.
	Track string `toml:"track" oneof:"none opens clicks all"`
	// Measure bounds what is kept of it, beside what the tenant allows.
	Measure string `toml:"measure" oneof:"individual aggregate hygiene none"`
	// DisplayName is what readers know the stream by; empty for Name.
	DisplayName string `toml:"display_name" is:"line"`
	// TrackText tracks links in plain text where clicks are tracked.
	TrackText bool `toml:"track_text"`
	// UTM are query parameters for the links, name=value pairs with & between
	// them, and UTMHosts those whose links get them; none for all.
	UTM      string   `toml:"utm" is:"utm"`
	UTMHosts []string `toml:"utm_hosts" is:"domain"`
	// Unsubscribe adds List-Unsubscribe and obeys it.
	Unsubscribe bool `toml:"unsubscribe"`
	// VERP gives each recipient a return path of its own.
	VERP bool `toml:"verp"`
	// Suppressed recipients are refused at submission, or accepted and dropped.
	Suppressed string `toml:"suppressed" oneof:"refuse drop"`
	// Notify is of what senders are told by DSN.
	Notify string `toml:"notify" oneof:"off asked failures delays"`
	// Checks is what follows when a message breaks a rule for bulk mail, Check
	// that for single ones, and MaxSize what the one about sizes allows; zero for
	// all.
	Checks  string `toml:"checks" oneof:"off warn enforce"`
	Check   Checks `toml:"check"`
	MaxSize Size   `toml:"max_size" min:"0B"`
	// TLS is the least protection on the way; Inherited for that of [delivery].
	TLS string `toml:"tls" oneof:"default opportunistic none encrypted verified"`
	// MaxAge is how long a recipient is tried; zero for [queue] max_age.
	MaxAge time.Duration `toml:"max_age" min:"0s" max:"30d"`
	// Weight is the stream's share of a site beside the others'.
	Weight int `toml:"weight" min:"1" max:"1000"`
	// Windows and TimeZone are the tenant's where the stream leaves them out.
	Windows  []string `toml:"windows" is:"window"`
	TimeZone string   `toml:"time_zone" is:"timezone"`
	// Pool that the stream's mail leaves by; empty for the tenant's.
	Pool string `toml:"pool" is:"name"`
	// RateAction follows where a campaign's bounces or complaints are too many;
	// Inherited for hold where Unsubscribe is set, and warn elsewhere.
	RateAction string `toml:"rate_action" oneof:"default warn slow hold"`
	// BounceAct and ComplaintAct are shares in percent; zero for those of [rates].
	BounceAct    float64 `toml:"bounce_act" min:"0" max:"100"`
	ComplaintAct float64 `toml:"complaint_act" min:"0" max:"100"`
}

func (s *Stream) setDefaults() {
	s.Track, s.Measure, s.Weight, s.TLS, s.Suppressed = "none", "individual", 1, Inherited, refuseSuppressed
	s.Notify, s.Checks, s.Check = notifyAsked, checksOff, defaultChecks()
	s.RateAction, s.VERP = Inherited, true
}

// builtinStreams are what a tenant has without naming them, and the defaults
// of those that it does name.
func builtinStreams() []Stream {
	return []Stream{
		{Name: transactional, Track: "none", Measure: "individual", Weight: 4, TLS: Inherited, Suppressed: refuseSuppressed, Notify: notifyAsked, Checks: checksOff, Check: defaultChecks(), RateAction: Inherited, VERP: true},
		{Name: marketing, Track: "all", Measure: "individual", Unsubscribe: true, Weight: 1, TLS: Inherited, Suppressed: refuseSuppressed, Notify: notifyOff, Checks: checksWarn, Check: defaultChecks(), RateAction: Inherited, VERP: true},
	}
}

// Credential is what an application logs in with.
type Credential struct {
	Username string `toml:"username" is:"username" required:"true"`
	Tenant   string `toml:"tenant" is:"name"`
	// PasswordHash is an argon2id hash in PHC string format. Either it or
	// PasswordHashFile is set; see Hash.
	PasswordHash     string     `toml:"password_hash" is:"argon2id"`
	PasswordHashFile SecretFile `toml:"password_hash_file" is:"hashfile"`
	// FromDomains bound the senders, each with everything below it.
	FromDomains []string `toml:"from_domains" is:"domain" required:"true"`
	// VendorHeaders names the senders whose control headers are understood.
	VendorHeaders []string `toml:"vendor_headers" oneof:"sendgrid mailgun postmark mandrill ses"`
}

// Hash returns the argon2id hash, read from its file where it has one.
func (c *Credential) Hash() (string, error) {
	if c.PasswordHashFile == "" {
		return c.PasswordHash, nil
	}
	hash, err := c.PasswordHashFile.Read()
	if err != nil {
		return "", err
	}
	if wrong := checkArgon2id(hash.Reveal()); wrong != "" {
		return "", &hashError{file: string(c.PasswordHashFile)}
	}
	return hash.Reveal(), nil
}

// hashError says which file holds no hash, and nothing of what it holds.
type hashError struct{ file string }

func (e *hashError) Error() string { return e.file + ": expected an argon2id hash ($argon2id$...)" }

// DKIMKey signs mail of a domain. A domain may have several, one of each
// algorithm.
type DKIMKey struct {
	Domain   string `toml:"domain" is:"domain" required:"true"`
	Selector string `toml:"selector" is:"selector" required:"true"`
	// Key is a PEM file.
	Key SecretFile `toml:"key" required:"true"`
}
