package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
)

// originKey names one recipient of one message.
func originKey(message string, index int) string {
	raw := append([]byte(message), 0)
	return string(binary.BigEndian.AppendUint32(raw, uint32(index)))
}

// Lookup returns the accepted event of a recipient, searching back from the
// newest day as far as Options.LookBack.
func (l *Log) Lookup(message string, index int) (event.Event, bool, error) {
	e, found, err := l.search(l.shelf.list(), originKey(message, index))
	if err != nil {
		return event.Event{}, false, fmt.Errorf("look up accepted event: %w", err)
	}
	return e, found, nil
}

// search goes through days from the last back, within LookBack of it. Days
// whose keys cannot include origin are passed over without being opened, once
// their bounds are known.
func (l *Log) search(days []*day, origin string) (event.Event, bool, error) {
	if len(days) == 0 {
		return event.Event{}, false, nil
	}
	oldest := l.oldest(days[len(days)-1].name)
	for _, d := range slices.Backward(days) {
		if d.name < oldest {
			break
		}
		if !l.shelf.mayHold(d, origin) {
			continue
		}
		e, found, err := l.searchDay(d, origin)
		if found || err != nil && !errors.Is(err, ErrDamaged) {
			return e, found, err
		}
	}
	return event.Event{}, false, nil
}

func (l *Log) oldest(name string) string {
	newest, err := time.Parse(dayLayout, name)
	if err != nil {
		return name // never: shelves hold days
	}
	return dayName(newest.AddDate(0, 0, -l.lookBack))
}

// mayHold reports whether a closed day's keys surround origin.
func (s *shelf) mayHold(d *day, origin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !d.known || d.name == s.newest || d.about.low <= origin && origin <= d.about.high
}

func (l *Log) searchDay(d *day, origin string) (e event.Event, found bool, err error) {
	err = l.shelf.view(d, func(tx *bolt.Tx) error {
		e, found = l.origin(newPage(tx), origin)
		return nil
	})
	return e, found, err
}

// origin reads the accepted event inside a transaction.
func (l *Log) origin(p page, origin string) (event.Event, bool) {
	position := p.accepted.Get([]byte(origin))
	if position == nil {
		return event.Event{}, false
	}
	e, err := decode(p.events.Get(position))
	if err != nil {
		l.skipDamaged(number(position), err)
		return event.Event{}, false
	}
	return e, true
}

// needsOrigin reports an event of a reader's, who is known by message and
// index alone.
func needsOrigin(e *event.Event) bool {
	switch e.Type {
	case event.Opened, event.Clicked, event.Unsubscribed:
		return e.Message != "" && (e.Recipient == "" || e.Tenant == "")
	}
	return false
}

// searchEarlier finds the origins that lie before day d for the records that
// need one.
func (l *Log) searchEarlier(d *day, records []event.Record) (map[string]event.Event, error) {
	var earlier map[string]event.Event
	var days []*day
	for i := range records {
		e := &records[i].Event
		if !needsOrigin(e) {
			continue
		}
		if earlier == nil {
			earlier, days = map[string]event.Event{}, l.shelf.list()
		}
		origin := originKey(e.Message, e.Index)
		if _, done := earlier[origin]; done {
			continue
		}
		found, ok, err := l.search(days, origin)
		if err != nil {
			return nil, err
		}
		if ok {
			earlier[origin] = found
		}
	}
	return earlier, nil
}

// complete fills in what the accepted event knows. One not found leaves the
// event as it is.
func (l *Log) complete(p page, e *event.Event, earlier map[string]event.Event) {
	origin := originKey(e.Message, e.Index)
	accepted, found := earlier[origin]
	if !found {
		accepted, found = l.origin(p, origin)
	}
	if !found {
		l.unmatched.Add(1)
		return
	}
	fill(&e.Tenant, accepted.Tenant)
	fill(&e.Stream, accepted.Stream)
	fill(&e.Campaign, accepted.Campaign)
	fill(&e.Recipient, accepted.Recipient)
	if e.Tags == nil {
		e.Tags = accepted.Tags
	}
	if e.Metadata == nil {
		e.Metadata = accepted.Metadata
	}
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
