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

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "postrider", Subsystem: "submission", Name: name, Help: help,
		}, labels)
	}
	accepted := counter("messages_accepted_total", "Messages taken into the queue.")
	octets := counter("octets_accepted_total", "Octets of the messages taken into the queue.")
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
			Namespace: "postrider", Subsystem: "submission", Name: "connections_open", Help: "Connections now.",
		}, []string{"listener"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		accepted, octets, hashes, m.refusals, m.bulk, m.authFailures, m.connections, m.open,
	} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) refused(r *refusal) {
	m.refusals.WithLabelValues(strconv.Itoa(r.code/100)+"xx", r.reason).Inc()
}
