package tracking

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/prometheus/client_golang/prometheus"
)

// The kinds of request that are counted.
const (
	kindClick       = "click"
	kindOpen        = "open"
	kindUnsubscribe = "unsubscribe"
	kindProbe       = "probe"
	kindPreferences = "preferences"
	kindOther       = "other"
)

type metrics struct {
	requests *prometheus.CounterVec
	recorded prometheus.Counter
	dropped  prometheus.Counter
	failures prometheus.Counter
	expired  prometheus.Counter
	optedOut prometheus.Counter
	machines *prometheus.CounterVec
	refused  prometheus.Counter
	// clicked and opened are those of requests that come most.
	clicked, opened prometheus.Counter
}

func newMetrics() *metrics {
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
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_expired_total",
			Help: "Clicks and opens answered and not recorded, since their messages are too old.",
		}),
		optedOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_tracking_opted_out_total",
			Help: "Clicks and opens answered and not recorded, since the browser asked not to be tracked (Sec-GPC or DNT).",
		}),
		machines: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_tracking_machine_hits_total",
			Help: "Clicks and opens taken for a machine's, by what tells.",
		}, []string{"reason"}),
	}
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "postrider_tracking_connections_refused_total",
		Help: "Connections closed at once, since their clients had too many.",
	})
	m.clicked = m.requests.WithLabelValues(kindClick, strconv.Itoa(http.StatusFound))
	m.opened = m.requests.WithLabelValues(kindOpen, strconv.Itoa(http.StatusOK))
	return m
}

// register takes nil for nowhere. waiting says how many events wait.
func (m *metrics) register(r prometheus.Registerer, waiting func() int) error {
	if r == nil {
		return nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postrider_tracking_events_waiting",
		Help: "Events answered for and not yet recorded.",
	}, func() float64 { return float64(waiting()) })
	var err error
	for _, c := range []prometheus.Collector{m.requests, m.recorded, m.dropped, m.failures, gauge, m.expired, m.optedOut, m.machines, m.refused} {
		err = errors.Join(err, r.Register(c))
	}
	return err
}

func (m *metrics) countMachine(reason hit.Reason) {
	if reason != hit.Human {
		m.machines.WithLabelValues(reason.String()).Inc()
	}
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
