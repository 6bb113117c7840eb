package tracking

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// The kinds of request that are counted.
const (
	kindClick       = "click"
	kindOpen        = "open"
	kindUnsubscribe = "unsubscribe"
	kindPreferences = "preferences"
	kindOther       = "other"
)

type metrics struct {
	requests *prometheus.CounterVec
	recorded prometheus.Counter
	dropped  prometheus.Counter
	failures prometheus.Counter
	waiting  prometheus.Gauge
	expired  prometheus.Counter
	// clicked and opened are those of requests that come most.
	clicked, opened prometheus.Counter
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
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_expired_total",
			Help: "Clicks and opens answered and not recorded, since their messages are too old.",
		}),
	}
	m.clicked = m.requests.WithLabelValues(kindClick, strconv.Itoa(http.StatusFound))
	m.opened = m.requests.WithLabelValues(kindOpen, strconv.Itoa(http.StatusOK))
	if r == nil {
		return m, nil
	}
	var err error
	for _, c := range []prometheus.Collector{m.requests, m.recorded, m.dropped, m.failures, m.waiting, m.expired} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *metrics) count(kind string, status int) {
	switch {
	case kind == kindClick && status == http.StatusFound:
		m.clicked.Inc()
	case kind == kindOpen && status == http.StatusOK:
		m.opened.Inc()
	default:
		m.requests.WithLabelValues(kind, strconv.Itoa(status)).Inc()
	}
}
