package delivery

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts without naming sites, tenants or people: every label has a
// handful of values.
type metrics struct {
	outcomes    *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	attempts    prometheus.Counter
	seconds     prometheus.Histogram
	dials       *prometheus.CounterVec
	failures    prometheus.Counter
	unprepared  *prometheus.CounterVec
	untold      prometheus.Counter
	storeErrors *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer, e *Engine) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "postrider", Subsystem: "delivery", Name: name, Help: help}
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(counter(name, help)), value)
	}
	m := &metrics{
		outcomes:    prometheus.NewCounterVec(counter("outcomes_total", "Recipients by what became of an attempt."), []string{"type"}),
		refusals:    prometheus.NewCounterVec(counter("refusals_total", "Recipients refused by servers, by what the reply is about."), []string{"category"}),
		attempts:    prometheus.NewCounter(counter("transactions_total", "Messages offered to servers.")),
		dials:       prometheus.NewCounterVec(counter("connects_total", "Connections tried, by result."), []string{"result"}),
		failures:    prometheus.NewCounter(counter("connection_failures_total", "Connections that ended by failure.")),
		unprepared:  prometheus.NewCounterVec(counter("unprepared_total", "Messages that could not be prepared, by stage."), []string{"stage"}),
		untold:      prometheus.NewCounter(counter("untold_total", "Recipients whose sender was not told since too many notices waited for the queue.")),
		storeErrors: prometheus.NewCounterVec(counter("store_errors_total", "Failed calls of the queue's store."), []string{"operation"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "postrider", Subsystem: "delivery", Name: "transaction_seconds",
			Help: "Time a server took for a message.", Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300},
		}),
	}
	if registerer == nil {
		return m, nil
	}
	var errs error
	for _, c := range []prometheus.Collector{
		m.outcomes, m.refusals, m.attempts, m.dials, m.failures, m.unprepared, m.untold, m.storeErrors, m.seconds,
		gauge("connections", "Connections open.", func() float64 { return float64(e.capacity.connections()) }),
		gauge("in_flight", "Recipients leased.", func() float64 { return float64(e.inFlight.Load()) }),
		gauge("sites", "Sites that mail waits for.", func() float64 { return float64(e.siteCount()) }),
	} {
		errs = errors.Join(errs, registerer.Register(c))
	}
	return m, errs
}

func (m *metrics) transaction(took time.Duration) {
	m.attempts.Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) dialled(err error) {
	if err != nil {
		m.dials.WithLabelValues("failed").Inc()
		return
	}
	m.dials.WithLabelValues("ok").Inc()
}
