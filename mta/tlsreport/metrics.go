package tlsreport

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// How a report ended.
const (
	endedSent = "sent"
	// endedUnwanted: the domain asks for no reports.
	endedUnwanted = "unwanted"
	// endedExpired: nobody took it in time.
	endedExpired = "expired"
	// endedLost: there was no room for it.
	endedLost = "lost"
)

type metrics struct {
	sessions, lost, ended, reports *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer, r *Reporter) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postrider", Subsystem: "tlsreport", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postrider", Subsystem: "tlsreport", Name: name, Help: help}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(value())
		})
	}
	m := &metrics{
		sessions: counter("sessions_total", "Sessions counted, by result.", "result"),
		lost:     counter("lost_total", "Sessions not counted, or not in full, for want of room, by what there was none for.", "what"),
		ended:    counter("ended_total", "Reports by what became of them.", "how"),
		reports:  counter("sent_total", "Attempts to hand a report over.", "by", "result"),
	}
	if registerer == nil {
		return m, nil
	}
	var errs error
	for _, c := range []prometheus.Collector{
		m.sessions, m.lost, m.ended, m.reports,
		gauge("domains", "Domains counted today.", func() int { return len(r.domains) }),
		gauge("waiting", "Reports that wait to be sent.", func() int { return len(r.waiting) }),
		gauge("octets", "Memory that counts and reports take, about.", func() int { return r.size }),
	} {
		errs = errors.Join(errs, registerer.Register(c))
	}
	return m, errs
}

func (m *metrics) session(failed bool) {
	if failed {
		m.sessions.WithLabelValues("failed").Inc()
		return
	}
	m.sessions.WithLabelValues("successful").Inc()
}

func (m *metrics) lose(what loss, n int) {
	if what != lostNothing {
		m.lost.WithLabelValues(string(what)).Add(float64(n))
	}
}

func (m *metrics) sent(by, result string) { m.reports.WithLabelValues(by, result).Inc() }
