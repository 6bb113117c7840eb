package daemon

import (
	"context"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
	"github.com/postrider-mta/postrider/tracking/hit"
)

// newClassifier returns nil where nothing is tracked.
func newClassifier(c *config.Config) *hit.Classifier {
	if c.Tracking.Listen == "" {
		return nil
	}
	return hit.New(hit.Options{TooSoon: orNone(c.Tracking.TooSoon)})
}

// watchedDeliveries tells of deliveries on their way to the event log. That is
// a moment behind them, and holds up neither them nor whoever clicks.
type watchedDeliveries struct {
	boltqueue.EventLog
	hits *hit.Classifier
}

var _ boltqueue.EventLog = (*watchedDeliveries)(nil)

// watchDeliveries leaves the log as it is where nobody is to be told.
func watchDeliveries(log boltqueue.EventLog, hits *hit.Classifier) boltqueue.EventLog {
	if hits == nil {
		return log
	}
	return &watchedDeliveries{log, hits}
}

// Append implements boltqueue.EventLog. The same records may come again.
func (w *watchedDeliveries) Append(ctx context.Context, records []event.Record) error {
	var deliveries []hit.Delivery
	for i := range records {
		e := &records[i].Event
		if e.Type != event.Delivered {
			continue
		}
		if id, err := queue.ParseID(e.Message); err == nil {
			deliveries = append(deliveries, hit.Delivery{
				Recipient: hit.Recipient{Message: id, Index: uint32(e.Index)}, Time: e.Time,
			})
		}
	}
	if len(deliveries) > 0 {
		w.hits.Delivered(deliveries)
	}
	return w.EventLog.Append(ctx, records)
}
