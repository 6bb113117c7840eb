package certificate

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ orders, paused, issued, failures, unknown prometheus.Counter }

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "postrider_tracking_" + name, Help: help})
	}
	m := &metrics{
		orders:   counter("acme_orders_total", "Certificates asked of the authority, each challenge tried anew included."),
		paused:   counter("acme_orders_paused_total", "Orders not sent, since too many for the host brought no certificate."),
		issued:   counter("acme_certificates_total", "Certificates issued, renewals included."),
		failures: counter("acme_failures_total", "Handshakes for a tracking domain without a certificate."),
		unknown:  counter("unknown_hosts_total", "Handshakes for names that are no tracking domain, or for none."),
	}
	if r == nil {
		return m, nil
	}
	var err error
	for _, c := range []prometheus.Collector{m.orders, m.paused, m.issued, m.failures, m.unknown} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}
