package e2e

import (
	"fmt"
	"slices"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
)

// events returns all events so far, in their order.
func (w *world) events() []event.Event {
	w.Helper()
	client := w.daemon.Client()
	defer client.Close()
	var all []event.Event
	err := client.Events(w.ctx, 0, false, func(r api.Record) error {
		all = append(all, r.Event)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// history returns the events of one message.
func (w *world) history(id string) []event.Event {
	w.Helper()
	return slices.DeleteFunc(w.events(), func(e event.Event) bool { return e.Message != id })
}

// awaitEvent waits for an event of a message.
func (w *world) awaitEvent(id string, kind event.Type) event.Event {
	w.Helper()
	var found event.Event
	w.await(fmt.Sprintf("message %s is %s", id, kind), func() bool {
		history := w.history(id)
		at := slices.IndexFunc(history, func(e event.Event) bool { return e.Type == kind })
		if at >= 0 {
			found = history[at]
		}
		return at >= 0
	})
	return found
}

// types are the kinds of a message's events in their order.
func types(history []event.Event) string {
	var kinds []event.Type
	for _, e := range history {
		kinds = append(kinds, e.Type)
	}
	return fmt.Sprint(kinds)
}

// final reports whether an event ends its recipient.
func final(kind event.Type) bool {
	switch kind {
	case event.Delivered, event.Bounced, event.Expired, event.Dropped:
		return true
	default:
		return false
	}
}
