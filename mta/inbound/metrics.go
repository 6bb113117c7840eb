package inbound

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ returned *prometheus.CounterVec }

// newMetrics registers nothing where there is no registerer.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "postrider", Subsystem: "inbound", Name: "returned_total",
		Help: "Messages that came back, by the address they came to, what they were, and what followed.",
	}, []string{"to", "kind", "outcome"})}
	if registerer == nil {
		return m, nil
	}
	return m, registerer.Register(m.returned)
}
