package daemon

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/queue"
)

// queueMetrics turns the store's figures into metrics at each scrape.
type queueMetrics struct {
	stats   func() queue.Stats
	figures []figure
}

type figure struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	value       func(queue.Stats) float64
}

var _ prometheus.Collector = (*queueMetrics)(nil)

func registerQueueMetrics(registry prometheus.Registerer, store queue.Store) error {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("postrider_queue_"+name, help, nil, nil)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return registry.Register(&queueMetrics{stats: store.Stats, figures: []figure{
		{describe("recipients", "Recipients owed."), gauge, func(s queue.Stats) float64 { return float64(s.Recipients) }},
		{describe("messages", "Messages with recipients owed."), gauge, func(s queue.Stats) float64 { return float64(s.Messages) }},
		{describe("queues", "Queues that hold anything."), gauge, func(s queue.Stats) float64 { return float64(s.Queues) }},
		{describe("journal_bytes", "Size of the journal."), gauge, func(s queue.Stats) float64 { return float64(s.JournalBytes) }},
		{describe("database_bytes", "Size of queue.db."), gauge, func(s queue.Stats) float64 { return float64(s.DatabaseBytes) }},
		{describe("syncs_total", "Syncs of the journal."), counter, func(s queue.Stats) float64 { return float64(s.Syncs) }},
		{describe("records_total", "Records written to the journal."), counter, func(s queue.Stats) float64 { return float64(s.Records) }},
		{describe("damaged_total", "Records and segments set aside as damaged."), counter, func(s queue.Stats) float64 { return float64(s.Damaged) }},
		{describe("fault", "1 while new mail is refused."), gauge, fault},
	}})
}

func fault(s queue.Stats) float64 {
	if s.Fault != nil {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (m *queueMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, f := range m.figures {
		descriptions <- f.description
	}
}

// Collect implements prometheus.Collector.
func (m *queueMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := m.stats()
	for _, f := range m.figures {
		metrics <- prometheus.MustNewConstMetric(f.description, f.kind, f.value(stats))
	}
}

// registerEventMetrics counts what of the events is not as it was written.
func registerEventMetrics(registry prometheus.Registerer, stats func() eventlog.Stats) error {
	counter := func(name, help string, value func(eventlog.Stats) int64) error {
		return registry.Register(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: "postrider_events_" + name, Help: help},
			func() float64 { return float64(value(stats())) },
		))
	}
	return errors.Join(
		counter("damaged_files_total", "Day files set aside as damaged.", func(s eventlog.Stats) int64 { return s.DamagedFiles }),
		counter("damaged_total", "Events skipped as damaged.", func(s eventlog.Stats) int64 { return s.DamagedRecords }),
		counter("repaired_total", "Events that could not be written as JSON as they were.", func(s eventlog.Stats) int64 { return s.Repaired }),
		counter("unmatched_total", "Events of readers, and of what came back by mail, whose message is not known any more.", func(s eventlog.Stats) int64 { return s.Unmatched }),
		counter("repeated_total", "Bounces, complaints and unsubscribes that had come by mail before.", func(s eventlog.Stats) int64 { return s.Repeated }),
	)
}
