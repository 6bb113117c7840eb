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
	origin := originKey(message, index)
	found, err := l.search([]string{origin})
	if err != nil {
		return event.Event{}, false, fmt.Errorf("look up accepted event: %w", err)
	}
	e, ok := found[origin]
	return e, ok, nil
}

// search goes through days from the last back, within LookBack of it, for as
// many origins at once as there are. Days whose keys cannot include one are
// passed over without being opened, once their bounds are known.
func (l *Log) search(origins []string) (map[string]event.Event, error) {
	days := l.shelf.list()
	if len(days) == 0 {
		return nil, nil
	}
	found := make(map[string]event.Event, len(origins))
	oldest := l.oldest(days[len(days)-1].name)
	for _, d := range slices.Backward(days) {
		if d.name < oldest || len(found) == len(origins) {
			break
		}
		if err := l.searchDay(d, l.shelf.mayHold(d, origins), found); err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
	}
	return found, nil
}

func (l *Log) oldest(name string) string {
	newest, err := time.Parse(dayLayout, name)
	if err != nil {
		return name // never: shelves hold days
	}
	return dayName(newest.AddDate(0, 0, -l.lookBack))
}

// mayHold returns the origins that a day may have: of a closed one those that
// its keys surround.
func (s *shelf) mayHold(d *day, origins []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.known || d.name == s.newest {
		return origins
	}
	var inside []string
	for _, origin := range origins {
		if d.about.low <= origin && origin <= d.about.high {
			inside = append(inside, origin)
		}
	}
	return inside
}

// searchDay adds to found what the day has of the origins that are missing.
func (l *Log) searchDay(d *day, origins []string, found map[string]event.Event) error {
	if len(origins) == 0 {
		return nil
	}
	return l.shelf.view(d, func(tx *bolt.Tx) error {
		p := newPage(tx)
		for _, origin := range origins {
			if _, done := found[origin]; done {
				continue
			}
			if e, ok := l.origin(p, origin); ok {
				found[origin] = e
			}
		}
		return nil
	})
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

// needsOrigin reports an event of a reader's, or of something that came back
// by mail, whose recipient is known by message and index alone.
func needsOrigin(e *event.Event) bool {
	switch e.Type {
	case event.Opened, event.Clicked, event.Unsubscribed, event.Bounced, event.Complained:
		return e.Message != "" && (e.Recipient == "" || e.Tenant == "")
	}
	return false
}

// searchEarlier finds the origins, before the records are written, of those
// that need one.
func (l *Log) searchEarlier(records []event.Record) (map[string]event.Event, error) {
	var origins []string
	for i := range records {
		if e := &records[i].Event; needsOrigin(e) {
			origins = append(origins, originKey(e.Message, e.Index))
		}
	}
	if origins == nil {
		return nil, nil
	}
	slices.Sort(origins) // as the file has them
	return l.search(slices.Compact(origins))
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
