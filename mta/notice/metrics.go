package notice

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why senders are told nothing that they wanted to know.
const (
	// skippedNullSender: it came from nobody.
	skippedNullSender = "null_sender"
	// skippedOwn: it was a DSN of ours.
	skippedOwn = "own"
	// skippedAutomatic: it came from a machine.
	skippedAutomatic = "automatic"
	// skippedLimit: the sender got enough.
	skippedLimit = "limit"
	// skippedUnwritable: there is no saying it.
	skippedUnwritable = "unwritable"
)

type metrics struct{ written, skipped *prometheus.CounterVec }

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postrider", Subsystem: "dsn", Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		written: counter("written_total", "Recipients that senders were told of in delivery reports.", "action"),
		skipped: counter("skipped_total", "Recipients that senders were not told of, by reason.", "reason"),
	}
	if registerer == nil {
		return m, nil
	}
	return m, errors.Join(registerer.Register(m.written), registerer.Register(m.skipped))
}
