package config

import (
	"slices"
	"strings"
	"time"
)

// Bounces is the SMTP server for what comes back: bounces, complaints and
// requests to unsubscribe.
type Bounces struct {
	// Domain of return paths for tenants without their own; empty for none.
	Domain string `toml:"domain" is:"domain"`
	// Listen holds HOST:PORT; none turns the server off.
	Listen []string `toml:"listen" is:"listen" restart:"true"`
	// Certificate and Key are for STARTTLS, together; empty for none.
	Certificate string     `toml:"certificate" is:"file" restart:"true"`
	Key         SecretFile `toml:"key" restart:"true"`
	// Complaints is the local part of the complaint address.
	Complaints string `toml:"complaints" is:"localpart" restart:"true"`
	// Postmaster gets mail to postmaster and abuse; empty refuses it.
	Postmaster string `toml:"postmaster" is:"address" restart:"true"`
	// FeedbackSender is the last part of Feedback-ID.
	FeedbackSender string `toml:"feedback_sender" is:"feedbacksender"`

	Connections      int  `toml:"connections" min:"1" restart:"true"`
	ConnectionsPerIP int  `toml:"connections_per_ip" min:"1" restart:"true"`
	Recipients       int  `toml:"recipients" min:"1" max:"1000" restart:"true"`
	MessageSize      Size `toml:"message_size" min:"10KB" max:"1GB" restart:"true"`
	// DataMemory is the memory that messages being received share.
	DataMemory Size `toml:"data_memory" min:"1MB" restart:"true"`
	// MessagesPerMinute that one IP address may send; zero for no limit.
	MessagesPerMinute int           `toml:"messages_per_minute" min:"0" restart:"true"`
	IdleTimeout       time.Duration `toml:"idle_timeout" min:"1s" max:"1h" restart:"true"`
	SessionTimeout    time.Duration `toml:"session_timeout" min:"1s" max:"7d" restart:"true"`
}

func defaultBounces() Bounces {
	return Bounces{
		Complaints:        "complaints",
		FeedbackSender:    "postrider",
		Connections:       200,
		ConnectionsPerIP:  20,
		Recipients:        20,
		MessageSize:       10 * MB,
		DataMemory:        64 * MB,
		MessagesPerMinute: 1000,
		IdleTimeout:       2 * time.Minute,
		SessionTimeout:    time.Hour,
	}
}

// isLocalPart accepts what an address needs no quotes for, and leaves out what
// looks like a token or is somebody else's.
func isLocalPart(s string) bool {
	plain := s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	return plain && s != "postmaster" && s != "abuse"
}

// isFeedbackSender accepts what Google counts by.
func isFeedbackSender(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return len(s) >= 5 && len(s) <= 15 && strings.Trim(s, letters) == ""
}

// checkBounces holds the listener against those whose mail comes back to it.
func (d *decoder) checkBounces(c *Config) {
	b := &c.Bounces
	named := func(t Tenant) bool { return t.BounceDomain != "" }
	if len(b.Listen) > 0 && !slices.ContainsFunc(c.Tenants, named) && !d.isGiven("bounces.domain") {
		d.problems.add(d.at("bounces.domain", "bounces.domain", "bounces.listen"), "missing; expected with listen, where no tenant has a bounce_domain")
	}
	d.checkUnheard(c)
	for _, key := range []string{"certificate", "key"} {
		other := map[string]string{"certificate": "key", "key": "certificate"}[key]
		if d.isGiven("bounces."+other) && !d.isGiven("bounces."+key) {
			d.problems.add(d.at("bounces."+key, "bounces."+other), "missing; expected with %s", other)
		}
	}
	if b.DataMemory < b.MessageSize {
		d.problems.add(d.at("bounces.data_memory", "bounces.data_memory", "bounces.message_size"), "expected at least message_size")
	}
	_, host, _ := strings.Cut(b.Postmaster, "@")
	if host != "" && (strings.EqualFold(host, b.Domain) || slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return strings.EqualFold(t.BounceDomain, host) })) {
		d.problems.add(d.at("bounces.postmaster", "bounces.postmaster"), "expected an address at another domain: this one takes no mail for people")
	}
}

// checkUnheard reports domains whose mail nobody listens for.
func (d *decoder) checkUnheard(c *Config) {
	if d.isGiven("bounces.listen") {
		return
	}
	const unheard = "expected only with [bounces] listen: nobody would hear what comes back"
	if d.isGiven("bounces.domain") {
		d.problems.add(d.at("bounces.domain", "bounces.domain"), unheard)
	}
	for i := range c.Tenants {
		if at := path("tenant", i) + ".bounce_domain"; d.isGiven(at) {
			d.problems.add(d.at("tenant.bounce_domain", at), unheard)
		}
	}
}
