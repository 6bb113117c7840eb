// Package config reads the daemon's configuration file: TOML, strict, with a
// default for everything but the host name, and with every mistake reported
// at once at its place. The structs are the specification: their tags say what
// a value may be, and config.example.toml documents each key.
//
// Tags of a field: toml names the key; is names a format of text (see
// formats); oneof lists the allowed words; min and max bound numbers,
// durations and sizes; required forbids leaving the key out; restart marks
// what a reload cannot change.
package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Config is the whole configuration. Everything in it is resolved: defaults
// are filled in, paths are absolute or relative to the working directory, and
// there is always a tenant, a listener, a source and a pool.
type Config struct {
	// Hostname is the fully qualified name of this host.
	Hostname string `toml:"hostname" is:"hostname" required:"true" restart:"true"`
	// DataDir holds everything the daemon keeps.
	DataDir string `toml:"data_dir" is:"folder" restart:"true"`

	Log         Log          `toml:"log"`
	Listeners   []Listener   `toml:"listener"`
	Limits      Limits       `toml:"limits"`
	Queue       Queue        `toml:"queue" restart:"true"`
	Delivery    Delivery     `toml:"delivery"`
	Sources     []Source     `toml:"source"`
	Pools       []Pool       `toml:"pool"`
	Sites       []Site       `toml:"site"`
	Routes      []Route      `toml:"route"`
	TLSFloors   []TLSFloor   `toml:"tls"`
	TLSReports  TLSReports   `toml:"tls_reports" restart:"true"`
	Tenants     []Tenant     `toml:"tenant"`
	Credentials []Credential `toml:"credential"`
	DKIM        []DKIMKey    `toml:"dkim"`
	Tracking    Tracking     `toml:"tracking"`
	Bounces     Bounces      `toml:"bounces"`
	Admin       Admin        `toml:"admin" restart:"true"`
	Events      Events       `toml:"events"`
	Suppression Suppression  `toml:"suppression" restart:"true"`
	DSN         DSN          `toml:"dsn" restart:"true"`
	Statistics  Statistics   `toml:"statistics" restart:"true"`
	Rates       Rates        `toml:"rates"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `toml:"level" oneof:"debug info warn error"`
	Format string `toml:"format" oneof:"text json" restart:"true"`
	// Addresses says how recipients appear in logs.
	Addresses string `toml:"addresses" oneof:"masked full"`
}

// Listener takes mail from applications over SMTP.
type Listener struct {
	// Name appears in logs and metrics.
	Name string `toml:"name" is:"name" required:"true"`
	// Address is host:port or unix:PATH; see Network.
	Address     string     `toml:"address" is:"listen" required:"true"`
	TLS         string     `toml:"tls" oneof:"none starttls implicit"`
	Certificate string     `toml:"certificate" is:"file"`
	Key         SecretFile `toml:"key"`
	// TrustedNetworks may send without authentication, for Tenant.
	TrustedNetworks []netip.Prefix `toml:"trusted_networks"`
	// Tenant of mail from trusted networks and over unix sockets.
	Tenant string `toml:"tenant" is:"name"`
	// AnyFrom lets unauthenticated clients use any From.
	AnyFrom bool `toml:"any_from"`
	// ProxyNetworks may speak the PROXY protocol, and must.
	ProxyNetworks []netip.Prefix `toml:"proxy_networks"`
	// SocketMode is the permission of a unix socket.
	SocketMode fs.FileMode `toml:"socket_mode"`
}

// Limits bound what submission takes.
type Limits struct {
	Connections           int           `toml:"connections" min:"1"`
	ConnectionsPerIP      int           `toml:"connections_per_ip" min:"1"`
	Recipients            int           `toml:"recipients" min:"1" max:"1000000"`
	MessageSize           Size          `toml:"message_size" min:"1KB" max:"1GB"`
	MessagesPerConnection int           `toml:"messages_per_connection" min:"0"`
	AuthFailures          int           `toml:"auth_failures" min:"1"`
	IdleTimeout           time.Duration `toml:"idle_timeout" min:"1s" max:"1h"`
	SessionTimeout        time.Duration `toml:"session_timeout" min:"1s" max:"7d"`
	// DataMemory is the memory that messages being received share.
	DataMemory Size `toml:"data_memory" min:"1MB"`
	// PasswordHashing is how many passwords are verified at once.
	PasswordHashing int `toml:"password_hashing" min:"1" max:"256" restart:"true"`
}

// Queue says how mail is kept and when it is tried again.
type Queue struct {
	MaxAge      time.Duration `toml:"max_age" min:"1s" max:"30d"`
	RetryFirst  time.Duration `toml:"retry_first" min:"1ms" max:"1d"`
	RetryFactor float64       `toml:"retry_factor" min:"1" max:"100"`
	RetryMax    time.Duration `toml:"retry_max" min:"1ms" max:"7d"`
	RetryJitter float64       `toml:"retry_jitter" min:"0" max:"1"`
	SegmentSize Size          `toml:"segment_size" min:"1MB" max:"4GB"`
	// SpareSegments are kept when nothing in them is needed, to be written again.
	SpareSegments      int           `toml:"spare_segments" min:"0" max:"64"`
	CheckpointInterval time.Duration `toml:"checkpoint_interval" min:"10ms" max:"10m"`
	CheckpointSize     Size          `toml:"checkpoint_size" min:"64KB" max:"4GB"`
	// CompactFreeShare of queue.db that is free, if it is CompactMinSize at
	// least, causes the file to be written anew.
	CompactFreeShare float64 `toml:"compact_free_share" min:"0.1" max:"1"`
	CompactMinSize   Size    `toml:"compact_min_size" min:"1MB"`
	// MinFree is the disk space below which new mail is refused.
	MinFree Size `toml:"min_free" min:"1MB"`
	// RestartDelay spreads, after a crash, what was due at that moment.
	RestartDelay time.Duration `toml:"restart_delay" min:"0s" max:"1h"`
}

// Events says how long events are kept.
type Events struct {
	// Retention in whole days.
	Retention time.Duration `toml:"retention" min:"1d" max:"3650d"`
}

// Statistics says what is counted of events, and how it is told.
type Statistics struct {
	Enabled bool `toml:"enabled"`
	// MaskBelow is the least count of readers that is told; 0 tells all.
	MaskBelow int `toml:"mask_below" min:"0" max:"1000000"`
	// Keep is how long days are kept; 0 for ever.
	Keep time.Duration `toml:"keep" min:"0s" max:"36500d"`
	// UniqueFor is how long after its acceptance a message's readers are known
	// from each other.
	UniqueFor time.Duration `toml:"unique_for" min:"1d" max:"3650d"`
	// LinkQueries keeps the queries of links.
	LinkQueries bool `toml:"link_queries"`
}

// Rates says which shares of bounces and complaints are too large. All shares
// are in percent.
type Rates struct {
	Enabled bool `toml:"enabled" restart:"true"`
	// BounceWarn and ComplaintWarn are told of, BounceAct and ComplaintAct acted
	// on.
	BounceWarn    float64 `toml:"bounce_warn" min:"0.001" max:"100"`
	BounceAct     float64 `toml:"bounce_act" min:"0.001" max:"100"`
	ComplaintWarn float64 `toml:"complaint_warn" min:"0.001" max:"100"`
	ComplaintAct  float64 `toml:"complaint_act" min:"0.001" max:"100"`
	// MinimumSample is how many recipients a share must be of to be judged.
	MinimumSample   int           `toml:"minimum_sample" min:"1" max:"1000000000"`
	BounceWindow    time.Duration `toml:"bounce_window" min:"1m" max:"7d" restart:"true"`
	ComplaintWindow time.Duration `toml:"complaint_window" min:"1m" max:"30d" restart:"true"`
}

// Suppression says what bounces come to.
type Suppression struct {
	// SoftBounces suppress an address when there are so many, over SoftSpan at
	// least, without a delivery between them.
	SoftBounces int           `toml:"soft_bounces" min:"1" max:"1000"`
	SoftSpan    time.Duration `toml:"soft_span" min:"1m" max:"365d"`
	// SoftFor and HardFor are how long soft and hard bounces suppress; zero for
	// ever.
	SoftFor time.Duration `toml:"soft_for" min:"0s" max:"3650d"`
	HardFor time.Duration `toml:"hard_for" min:"0s" max:"3650d"`
}

// DSN bounds what senders are told of their mail.
type DSN struct {
	// DelayAfter is how long a recipient waits before its sender is told.
	DelayAfter time.Duration `toml:"delay_after" min:"1s" max:"30d"`
	// PerHour bounds the DSNs to one sender in an hour.
	PerHour int `toml:"per_hour" min:"1" max:"1000000"`
	// MaxReturned is the size up to which a message is returned whole.
	MaxReturned Size `toml:"max_returned" min:"1KB" max:"100MB"`
}

// Tracking is the HTTP tracker.
type Tracking struct {
	// Listen is host:port or unix:PATH; empty turns the tracker off.
	Listen string `toml:"listen" is:"listen" restart:"true"`
	// URL is the public base of the tracker for tenants without their own.
	URL string `toml:"url" is:"baseurl"`
	// Keys is the file of the token keys, made when it is missing.
	Keys string `toml:"keys" is:"path" restart:"true"`
	// RecordWindow is the longest time an answered open or click may be lost
	// for.
	RecordWindow time.Duration `toml:"record_window" min:"10ms" max:"1m" restart:"true"`
	// RecordFor is how long after a message was accepted its clicks and opens
	// are recorded; zero for ever.
	RecordFor time.Duration `toml:"record_for" min:"0s" max:"36500d" restart:"true"`
	// TooSoon is how long after a delivery a hit is a machine's; zero for never.
	TooSoon time.Duration `toml:"too_soon" min:"0s" max:"1m" restart:"true"`
	// RespectSignals records nothing of readers who send Sec-GPC or DNT.
	RespectSignals bool `toml:"respect_signals" restart:"true"`
	// TrustedProxies may say in X-Forwarded-For whom they speak for.
	TrustedProxies []netip.Prefix `toml:"trusted_proxies" restart:"true"`
	// RequestsPerSecond and RequestBurst bound the clicks and opens of one
	// client, Unsubscribes its unsubscriptions, Connections what it has open;
	// zero for no limit.
	RequestsPerSecond     int `toml:"requests_per_second" min:"0" max:"1000000" restart:"true"`
	RequestBurst          int `toml:"request_burst" min:"1" max:"1000000" restart:"true"`
	UnsubscribesPerSecond int `toml:"unsubscribes_per_second" min:"0" max:"1000000" restart:"true"`
	UnsubscribeBurst      int `toml:"unsubscribe_burst" min:"1" max:"1000000" restart:"true"`
	ConnectionsPerIP      int `toml:"connections_per_ip" min:"0" max:"1000000" restart:"true"`
	// ExemptNetworks have no limits.
	ExemptNetworks []netip.Prefix `toml:"exempt_networks" restart:"true"`
	// SelfTest keeps links out of mail whose tracking domain does not answer.
	SelfTest bool `toml:"self_test"`
	// TLS is where certificates come from.
	TLS string `toml:"tls" oneof:"none files acme" restart:"true"`
	// HTTPListen answers in plain HTTP what leads to TLS: the challenges of
	// ACME, and redirects to https.
	HTTPListen string `toml:"http_listen" is:"listen" restart:"true"`
	// Certificates are those of tls = "files".
	Certificates []TrackingCertificate `toml:"certificate"`
	ACME         ACME                  `toml:"acme" restart:"true"`
}

// TrackingCertificate is a certificate of the tracker, for the names in it.
type TrackingCertificate struct {
	Certificate string     `toml:"certificate" is:"file" required:"true"`
	Key         SecretFile `toml:"key" required:"true"`
}

// ACME is the authority that issues the tracker's certificates (RFC 8555).
type ACME struct {
	// Directory is the URL at which the authority begins.
	Directory string `toml:"directory" is:"url"`
	// Email is whom it may write to; empty for nobody.
	Email string `toml:"email" is:"address"`
	// TermsAccepted agrees to its terms of service.
	TermsAccepted bool `toml:"terms_accepted"`
}

// Admin is how the daemon is watched and operated.
type Admin struct {
	// Socket is the path of the admin API's unix socket.
	Socket string `toml:"socket" is:"path"`
	// HTTP is host:port for metrics and health; empty for none.
	HTTP string `toml:"http" is:"listen"`
}

// Network splits a listening address for net.Listen: tcp and host:port, or
// unix and a path.
func Network(address string) (network, target string) {
	if path, ok := cutUnix(address); ok {
		return "unix", path
	}
	return "tcp", address
}

// Unix reports whether l listens on a unix socket.
func (l *Listener) Unix() bool {
	_, ok := cutUnix(l.Address)
	return ok
}

// Load reads and checks a file, and checks that the files it names can be
// read. $CREDENTIALS_DIRECTORY stands for ${credentials}. Mistakes in the file
// are returned as Errors.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := newDecoder(path, os.Getenv("CREDENTIALS_DIRECTORY"))
	c := d.config(data)
	d.checkFiles()
	if err := d.problems.sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse checks data as Load does, without touching the file system. Relative
// paths in it are relative to the folder of name.
func Parse(name string, data []byte, credentialsDir string) (*Config, error) {
	d := newDecoder(name, credentialsDir)
	c := d.config(data)
	if err := d.problems.sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

// Default returns the configuration of a file that sets nothing; its Hostname
// is empty.
func Default() *Config {
	d := newDecoder("", "")
	c := defaults()
	d.resolve(c)
	return c
}

// checkFiles reports what of the named files cannot be read or is open to
// everybody.
func (d *decoder) checkFiles() {
	for _, f := range d.files {
		if err := f.check(); err != nil {
			d.problems.add(f.place, "%s", fileError(err))
		}
	}
}

// fileError leaves the path out where the error repeats it.
func fileError(err error) string {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return "expected a file that can be read: " + pathError.Path + ": " + pathError.Err.Error()
	}
	return err.Error()
}

// absolute resolves a path of the file at base.
func absolute(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(base), path)
}
