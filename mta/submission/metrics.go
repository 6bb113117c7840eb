package submission

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what clients do. Every label has few values: listeners are
// the operator's, the rest are constants of this room.
type metrics struct {
	accepted     prometheus.Counter
	octets       prometheus.Counter
	refusals     *prometheus.CounterVec
	authFailures *prometheus.CounterVec
	bulk         *prometheus.CounterVec
	hashes       prometheus.Counter
	connections  *prometheus.CounterVec
	open         *prometheus.GaugeVec
}

// The results of connections and the reasons of failed logins.
const (
	connectionServed  = "served"
	connectionLimited = "limited"
	connectionProxy   = "proxy_header"
	connectionTLS     = "tls_handshake"

	authPassword = "password"
	authBusy     = "busy"
	authBlocked  = "blocked"
	authBroken   = "hash"
)

func newMetrics(o *Options) (*metrics, error) {
	subsystem := "submission"
	if o.Receiver != nil {
		subsystem = "inbound"
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "postrider", Subsystem: subsystem, Name: name, Help: help,
		}, labels)
	}
	accepted := counter("messages_accepted_total", "Messages taken.")
	octets := counter("octets_accepted_total", "Octets of the messages taken.")
	hashes := counter("password_hashes_total", "Passwords hashed to verify a login.")
	m := &metrics{
		accepted:     accepted.WithLabelValues(),
		octets:       octets.WithLabelValues(),
		hashes:       hashes.WithLabelValues(),
		refusals:     counter("refused_total", "Negative replies.", "class", "reason"),
		bulk:         counter("bulk_findings_total", "Rules for bulk mail that messages broke, by what followed.", "rule", "level"),
		authFailures: counter("auth_failures_total", "Logins that failed.", "reason"),
		connections:  counter("connections_total", "Connections that ended.", "listener", "result"),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "postrider", Subsystem: subsystem, Name: "connections_open", Help: "Connections now.",
		}, []string{"listener"}),
	}
	if o.Metrics == nil {
		return m, nil
	}
	collectors := []prometheus.Collector{accepted, octets, m.refusals, m.connections, m.open}
	if o.Receiver == nil {
		collectors = append(collectors, hashes, m.bulk, m.authFailures)
	}
	for _, c := range collectors {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) refused(r *refusal) {
	m.refusals.WithLabelValues(strconv.Itoa(r.code/100)+"xx", r.reason).Inc()
}
