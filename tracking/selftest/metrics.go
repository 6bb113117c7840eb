package selftest

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are by the URLs of the domains, which the configuration bounds.
type metrics struct {
	usable, ends     *prometheus.GaugeVec
	probes, withheld *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		usable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postrider_tracking_domain_usable",
			Help: "1 while mail may carry links to the tracking domain.",
		}, []string{"url"}),
		ends: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postrider_tracking_certificate_expiry_timestamp_seconds",
			Help: "When the certificate expires that the tracking domain shows.",
		}, []string{"url"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_tracking_probes_total",
			Help: "Probes of a tracking domain, by result.",
		}, []string{"url", "result"}),
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_tracking_withheld_total",
			Help: "Messages rendered without links to a tracking domain, since it does not answer.",
		}, []string{"url"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.usable), r.Register(m.ends), r.Register(m.probes), r.Register(m.withheld))
}

func (m *metrics) probed(url string, answer Answer, err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.probes.WithLabelValues(url, result).Inc()
	if !answer.CertificateEnds.IsZero() {
		m.ends.WithLabelValues(url).Set(float64(answer.CertificateEnds.Unix()))
	}
}

func (m *metrics) forget(url string) {
	m.usable.DeleteLabelValues(url)
	m.ends.DeleteLabelValues(url)
	m.withheld.DeleteLabelValues(url)
	m.probes.DeletePartialMatch(prometheus.Labels{"url": url})
}
