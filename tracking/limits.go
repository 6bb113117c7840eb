package tracking

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/tracking/limit"
)

// Limits bound what one client may take; those that are zero or less are none.
// A client is an IPv4 address, or the /64 of an IPv6 one.
type Limits struct {
	// RequestsPerSecond, and RequestBurst at once, are for clicks, opens and
	// what is not found.
	RequestsPerSecond, RequestBurst int
	// UnsubscribesPerSecond and UnsubscribeBurst are for unsubscriptions and
	// their page: no clicks of others behind the same address hinder them.
	UnsubscribesPerSecond, UnsubscribeBurst int
	// Connections are those open at once.
	Connections int
	// Exempt networks have no limits. Trusted proxies have none in any case.
	Exempt []netip.Prefix
}

// limits are the Limits at work.
type limits struct {
	requests, unsubscribes *limit.Rate
	connections            *limit.Connections
}

func newLimits(o Options, refused func()) limits {
	exempt := append(limit.Networks(o.Limits.Exempt), o.TrustedProxies...)
	rate := func(perSecond, burst int) *limit.Rate {
		return limit.NewRate(limit.RateOptions{PerSecond: float64(perSecond), Burst: burst, Exempt: exempt})
	}
	return limits{
		requests:     rate(o.Limits.RequestsPerSecond, o.Limits.RequestBurst),
		unsubscribes: rate(o.Limits.UnsubscribesPerSecond, o.Limits.UnsubscribeBurst),
		connections:  limit.NewConnections(o.Limits.Connections, exempt, refused),
	}
}

// of returns the limit that a kind of request counts against: what a mass of
// readers sends by itself is kept apart from what one decides to do.
func (l *limits) of(kind string) *limit.Rate {
	switch kind {
	case kindClick, kindOpen, kindProbe, kindOther:
		return l.requests
	default:
		return l.unsubscribes
	}
}

// admit answers a request that is one too many, and reports whether it is none.
func (t *Tracker) admit(w http.ResponseWriter, r *http.Request, kind string) bool {
	rate := t.limits.of(kind)
	if rate == nil {
		return true
	}
	wait := rate.Allow(t.client(r), time.Now())
	if wait == 0 {
		return true
	}
	seconds := (wait + time.Second - 1) / time.Second
	w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	t.metrics.count(kind, refuse(w, http.StatusTooManyRequests))
	return false
}

// Limit puts the limit on connections before a listener other than that of
// Serve.
func (t *Tracker) Limit(l net.Listener) net.Listener { return t.limits.connections.Listen(l) }
