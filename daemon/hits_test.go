package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
	"github.com/postrider-mta/postrider/tracking/hit"
)

// appended is an event log that takes what it is given.
type appended struct {
	boltqueue.EventLog
	records []event.Record
	fail    error
}

func (a *appended) Append(_ context.Context, records []event.Record) error {
	a.records = append(a.records, records...)
	return a.fail
}

// TestDeliveriesAreWatched proves that the classifier hears of deliveries and
// of nothing else, and that the log gets all and has the last word.
func TestDeliveriesAreWatched(t *testing.T) {
	now, failure := time.Now(), errors.New("no")
	id := queue.NewID(now)
	hits := hit.New(hit.Options{})
	log := &appended{fail: failure}
	records := []event.Record{
		{Position: 1, Event: event.Event{Type: event.Deferred, Message: id.String(), Index: 1, Time: now}},
		{Position: 2, Event: event.Event{Type: event.Delivered, Message: id.String(), Index: 2, Time: now}},
		{Position: 3, Event: event.Event{Type: event.Delivered, Message: "not one of ours", Index: 3, Time: now}},
	}
	if err := watchDeliveries(log, hits).Append(t.Context(), records); !errors.Is(err, failure) || len(log.records) != 3 {
		t.Errorf("%d records, %v", len(log.records), err)
	}
	waiting := make([]hit.Hit, 3)
	for i := range waiting {
		waiting[i] = hit.Hit{Kind: hit.Click, Recipient: hit.Recipient{Message: id, Index: uint32(i + 1)}, Time: now.Add(time.Second)}
	}
	hits.Sift(waiting)
	if waiting[0].Machine != hit.Human || waiting[1].Machine != hit.TooSoon || waiting[2].Machine != hit.Human {
		t.Errorf("%v", waiting)
	}
	if got := watchDeliveries(log, nil); got != boltqueue.EventLog(log) {
		t.Errorf("without a tracker the log is %T", got)
	}
}

// TestTooSoonOfTheConfiguration proves that zero is never, and that there is no
// classifier without a tracker.
func TestTooSoonOfTheConfiguration(t *testing.T) {
	s := newSite(t, basic)
	c := s.config()
	for soon, want := range map[time.Duration]hit.Reason{0: hit.Human, time.Minute: hit.TooSoon} {
		c.Tracking.TooSoon = soon
		hits := newClassifier(c)
		reader := hit.Recipient{Index: 1}
		hits.Delivered([]hit.Delivery{{Recipient: reader, Time: time.Now()}})
		waiting := []hit.Hit{{Kind: hit.Click, Recipient: reader, Time: time.Now()}}
		if hits.Sift(waiting); waiting[0].Machine != want {
			t.Errorf("too_soon %v: %q", soon, waiting[0].Machine)
		}
	}
	c.Tracking.Listen = ""
	if newClassifier(c) != nil {
		t.Error("a classifier of nothing")
	}
}
