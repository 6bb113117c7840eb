// Package account says who may use the daemon and what was agreed with them:
// tenants, their streams, credentials and domains. Every room that asks reads
// it through Directory; what stands behind it (the configuration file, a
// run-time store) is the composition's choice.
package account

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/window"
)

// The streams that every tenant has.
const (
	Transactional = "transactional"
	Marketing     = "marketing"
)

// Directory answers from one consistent state; a later call may see a newer
// one. Implementations are safe for concurrent use and do no I/O.
type Directory interface {
	// Tenant returns the tenant of that name.
	Tenant(name string) (Tenant, bool)
	// Credential returns what is known of a login name.
	Credential(username string) (Credential, bool)
}

// Tenant is a customer whose mail and contacts are kept apart from every
// other's.
type Tenant struct {
	Name string
	// Streams by name; every tenant has Transactional and Marketing.
	Streams map[string]Stream
	// DefaultStream receives mail that names no stream.
	DefaultStream string
	// HideClient leaves the submitting client's address out of Received.
	HideClient bool
	// DKIMDomain signs mail whose From domain has no key of its own; empty
	// for none.
	DKIMDomain mail.Domain
	// Quota bounds what the tenant may have waiting and hand in.
	Quota Quota
	// Pools of sources that its messages may name.
	Pools []string
	// TrackingURL is the public base of the tenant's tracker, scheme and host,
	// without a trailing slash; empty turns tracking and List-Unsubscribe off.
	TrackingURL string
	// BounceDomain is that of return paths and of what else brings mail back;
	// empty leaves the sender of the envelope as it is.
	BounceDomain mail.Domain
	// Measure bounds what is kept of its readers, whatever streams say.
	Measure Measure
	// DisplayName is the tenant as its readers know it; empty for Name.
	DisplayName string
	// Language of its readers where their browsers name none that there are
	// texts in, such as "de".
	Language string
}

// Stream is one purpose of mail and the rules for it.
type Stream struct {
	Name string
	// Track is what is measured when the message does not say.
	Track Track
	// Measure bounds what is kept of what is measured.
	Measure Measure
	// DisplayName is the stream as its readers know it; empty for Name.
	DisplayName string
	// UTM are added to the links of its messages; see UTM.Fill for what may
	// stand in their values. A message may say otherwise.
	UTM UTM
	// UTMHosts are those, each with everything below it, whose links get the
	// parameters; all where there are none.
	UTMHosts []mail.Domain
	// Unsubscribe adds List-Unsubscribe and List-Unsubscribe-Post (RFC 8058)
	// and lets unsubscribed recipients be dropped.
	Unsubscribe bool
	// DropSuppressed accepts recipients that may not be mailed and drops them
	// when their turn comes; otherwise submission refuses them.
	DropSuppressed bool
	// Notices is of what senders are told by DSN.
	Notices Notices
	// Checks are what follows when a message breaks a rule for bulk mail, by the
	// names of the rules that are looked at; see package bulk.
	Checks map[string]Check
	// MaxSize of a message in octets, for the rule about it; zero for none.
	MaxSize int64
	// VERP gives each recipient a return path of its own, where the tenant has a
	// BounceDomain.
	VERP bool
	// TLS is the least protection on the way to mail exchangers.
	TLS mail.TLSFloor
	// MaxAge is how long a recipient is tried; zero for the queue's default.
	MaxAge time.Duration
	// Weight is the stream's share of a site beside others'; zero for 1.
	Weight int
	// Windows are when its mail may leave; the zero value for always.
	Windows window.Windows
	// Rates are what bounces and complaints lead to.
	Rates RateRules
}

// RateRules say what follows where too many of a campaign's recipients bounce or
// complain.
type RateRules struct {
	// Action is warn, slow or hold; empty for warn.
	Action string
	// BounceAct and ComplaintAct are the shares, in percent, from which on it
	// follows; zero for the daemon's.
	BounceAct, ComplaintAct float64
}

// Quota bounds a tenant's mail; a zero field bounds nothing.
type Quota struct {
	// Messages and Bytes that may be waiting, each message counted once.
	Messages, Bytes int64
	// PerHour is how many messages may be accepted in any hour.
	PerHour int
}

// Credential is what an application logs in with.
type Credential struct {
	Username string
	Tenant   string
	// PasswordHash is an argon2id hash in PHC string format.
	PasswordHash string
	// FromDomains bounds the header From and the envelope sender, each domain
	// with everything below it; empty allows none.
	FromDomains []mail.Domain
	// VendorHeaders names the senders whose control headers are understood in
	// its messages; see package vendor.
	VendorHeaders []string
}

// MaySend reports whether the credential may use domain as a sender.
func (c Credential) MaySend(domain mail.Domain) bool {
	for _, allowed := range c.FromDomains {
		if domain.Within(allowed) {
			return true
		}
	}
	return false
}

// Track is what is measured in a message: a set of bits.
type Track uint8

const (
	TrackOpens Track = 1 << iota
	TrackClicks
	// TrackText is about the links in plain text, TrackClicks about those in
	// HTML.
	TrackText
	TrackNone Track = 0
	TrackAll        = TrackOpens | TrackClicks
)

// ParseTrack reads none, opens, clicks or all. Links in plain text are asked
// for elsewhere.
func ParseTrack(s string) (Track, error) {
	for _, t := range []Track{TrackNone, TrackOpens, TrackClicks, TrackAll} {
		if strings.EqualFold(s, t.String()) {
			return t, nil
		}
	}
	return TrackNone, fmt.Errorf("%q is not none, opens, clicks or all", s)
}

// String is the inverse of ParseTrack; with TrackText it says so.
func (t Track) String() string {
	switch t {
	case TrackNone:
		return "none"
	case TrackOpens:
		return "opens"
	case TrackClicks:
		return "clicks"
	case TrackAll:
		return "all"
	case TrackText, TrackText | TrackOpens, TrackText | TrackClicks, TrackText | TrackAll:
		return (t &^ TrackText).String() + " and text"
	}
	return fmt.Sprintf("track %d", uint8(t))
}
