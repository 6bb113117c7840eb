package config

import (
	"net/netip"
	"path/filepath"
	"time"
)

const day = 24 * time.Hour

// defaults holds what a key is when the file does not set it. Empty text here
// is filled in by resolve from other keys.
func defaults() *Config {
	return &Config{
		DataDir:     "/var/lib/postrider",
		Log:         Log{Level: "info", Format: "text", Addresses: "masked"},
		Limits:      defaultLimits(),
		Queue:       defaultQueue(),
		Delivery:    defaultDelivery(),
		Tracking:    defaultTracking(),
		Bounces:     defaultBounces(),
		Admin:       Admin{HTTP: "127.0.0.1:2580"},
		Events:      Events{Retention: 30 * day},
		Suppression: Suppression{SoftBounces: 5, SoftSpan: 14 * day, SoftFor: 90 * day},
		DSN:         DSN{DelayAfter: 4 * time.Hour, PerHour: 100, MaxReturned: 50 * KB},
		Statistics:  Statistics{Enabled: true, MaskBelow: 10, UniqueFor: 400 * day},
		Rates: Rates{
			Enabled: true, BounceWarn: 5, BounceAct: 10, ComplaintWarn: 0.1, ComplaintAct: 0.3,
			MinimumSample: 500, BounceWindow: time.Hour, ComplaintWindow: day,
		},
	}
}

func defaultTracking() Tracking {
	return Tracking{
		RecordWindow: time.Second, RecordFor: 365 * day, TooSoon: 3 * time.Second, RespectSignals: true,
		RequestsPerSecond: 200, RequestBurst: 2000, UnsubscribesPerSecond: 50, UnsubscribeBurst: 1000, ConnectionsPerIP: 500,
		ExemptNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		SelfTest:       true, TLS: "none",
		ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"},
	}
}

func defaultLimits() Limits {
	return Limits{
		Connections:           1000,
		ConnectionsPerIP:      100,
		Recipients:            1000,
		MessageSize:           25 * MB,
		MessagesPerConnection: 0,
		AuthFailures:          3,
		IdleTimeout:           5 * time.Minute,
		SessionTimeout:        day,
		DataMemory:            256 * MB,
		PasswordHashing:       2,
	}
}

func defaultQueue() Queue {
	return Queue{
		MaxAge:             5 * day,
		RetryFirst:         5 * time.Minute,
		RetryFactor:        2,
		RetryMax:           4 * time.Hour,
		RetryJitter:        0.2,
		SegmentSize:        64 * MB,
		SpareSegments:      4,
		CheckpointInterval: 5 * time.Second,
		CheckpointSize:     32 * MB,
		CompactFreeShare:   0.75,
		CompactMinSize:     64 * MB,
		MinFree:            256 * MB,
		RestartDelay:       30 * time.Second,
	}
}

func defaultDelivery() Delivery {
	return Delivery{
		IPv4:                     true,
		IPv6:                     true,
		Port:                     25,
		Connections:              500,
		ConnectionsPerSite:       20,
		MessagesPerConnection:    100,
		RecipientsPerTransaction: 50,
		ReadyRecipients:          20000,
		IdleTimeout:              5 * time.Second,
		DrainTimeout:             30 * time.Second,
		TLS:                      "opportunistic",
		Timeouts: Timeouts{
			Connect:  30 * time.Second,
			TLS:      time.Minute,
			Greeting: 5 * time.Minute,
			Command:  5 * time.Minute,
			Data:     2 * time.Minute,
			Block:    3 * time.Minute,
			Final:    10 * time.Minute,
			Quit:     5 * time.Second,
		},
	}
}

func (l *Listener) setDefaults() {
	l.TLS, l.SocketMode = "none", 0o660
}

// resolve fills in what follows from other keys.
func (d *decoder) resolve(c *Config) {
	if c.Delivery.EHLOName == "" {
		c.Delivery.EHLOName = c.Hostname
	}
	if c.Tracking.Keys == "" {
		c.Tracking.Keys = filepath.Join(c.DataDir, "tracking.keys")
	}
	if c.Admin.Socket == "" {
		c.Admin.Socket = filepath.Join(c.DataDir, "admin.sock")
	}
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{{Name: "local", Address: "127.0.0.1:2525", TLS: "none", SocketMode: 0o660}}
	}
	d.resolveTenants(c)
	d.resolveSources(c)
}

func (d *decoder) resolveTenants(c *Config) {
	if len(c.Tenants) == 0 {
		t := Tenant{Name: defaultTenant}
		t.setDefaults()
		c.Tenants = []Tenant{t}
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		if t.TrackingURL == "" {
			t.TrackingURL = c.Tracking.URL
		}
		setIfEmpty(&t.BounceDomain, c.Bounces.Domain)
		setIfEmpty(&t.TimeZone, "UTC")
		for _, builtin := range builtinStreams() {
			d.resolveStream(t, path("tenant", i), builtin)
		}
		d.resolveWindows(t, path("tenant", i))
	}
	if len(c.Tenants) > 1 {
		return
	}
	for i := range c.Listeners {
		setIfEmpty(&c.Listeners[i].Tenant, c.Tenants[0].Name)
	}
	for i := range c.Credentials {
		setIfEmpty(&c.Credentials[i].Tenant, c.Tenants[0].Name)
	}
}

// resolveStream gives t a built-in stream, or the one it names what it left
// out.
func (d *decoder) resolveStream(t *Tenant, at string, builtin Stream) {
	for i := range t.Streams {
		s := &t.Streams[i]
		if s.Name != builtin.Name {
			continue
		}
		key := at + "." + path("stream", i)
		if !d.isSet(key + ".track") {
			s.Track = builtin.Track
		}
		if !d.isSet(key + ".unsubscribe") {
			s.Unsubscribe = builtin.Unsubscribe
		}
		if !d.isSet(key + ".notify") {
			s.Notify = builtin.Notify
		}
		if !d.isSet(key + ".checks") {
			s.Checks = builtin.Checks
		}
		if !d.isSet(key + ".weight") {
			s.Weight = builtin.Weight
		}
		return
	}
	t.Streams = append(t.Streams, builtin)
}

// resolveWindows gives t's streams the windows and the time zone that they
// leave out. A stream with windows = [] is always open.
func (d *decoder) resolveWindows(t *Tenant, at string) {
	for i := range t.Streams {
		s, key := &t.Streams[i], at+"."+path("stream", i)
		if !d.isSet(key + ".windows") {
			s.Windows = t.Windows
		}
		setIfEmpty(&s.TimeZone, t.TimeZone)
	}
}

func setIfEmpty(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
