package tracking

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// The kinds of request that are counted.
const (
	kindClick       = "click"
	kindOpen        = "open"
	kindUnsubscribe = "unsubscribe"
	kindOther       = "other"
)

type metrics struct {
	requests *prometheus.CounterVec
	recorded prometheus.Counter
	dropped  prometheus.Counter
	failures prometheus.Counter
	waiting  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_tracking_requests_total",
			Help: "Requests to the tracker, by kind and status.",
		}, []string{"kind", "status"}),
		recorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_events_recorded_total",
			Help: "Events made durable.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_events_dropped_total",
			Help: "Events lost because too many waited to be recorded, or the daemon stopped first.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_record_failures_total",
			Help: "Failed attempts to record events; each is tried again.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_tracking_events_waiting",
			Help: "Events answered for and not yet recorded.",
		}),
	}
	if r == nil {
		return m, nil
	}
	var err error
	for _, c := range []prometheus.Collector{m.requests, m.recorded, m.dropped, m.failures, m.waiting} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *metrics) count(kind string, status int) {
	m.requests.WithLabelValues(kind, strconv.Itoa(status)).Inc()
}
