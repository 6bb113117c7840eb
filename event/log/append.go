package log

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
)

// Append writes records, whose positions must grow, in one transaction for
// each day file touched; they are durable when it returns nil. Records at or
// below Position are skipped, so whoever got an error appends the same again.
//
// Events of readers, and of bounces and complaints that came back by mail, that
// name only a message and an index are completed from that recipient's accepted
// event. Of those that came by mail and have the same id, the first one is
// written.
func (l *Log) Append(ctx context.Context, records []event.Record) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := checkOrder(records); err != nil {
		return err
	}
	defer l.news.tell()
	for len(records) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if records[0].Position <= l.position.Load() {
			records = records[1:]
			continue
		}
		name, n := l.run(records)
		if err := l.write(name, records[:n]); err != nil {
			return fmt.Errorf("append events: %w", err)
		}
		l.position.Store(records[n-1].Position)
		records = records[n:]
	}
	return nil
}

func checkOrder(records []event.Record) error {
	for i := 1; i < len(records); i++ {
		if records[i].Position <= records[i-1].Position {
			return fmt.Errorf("append events: position %d after %d", records[i].Position, records[i-1].Position)
		}
	}
	return nil
}

// run returns how many records go to the first one's day, and its name.
func (l *Log) run(records []event.Record) (name string, n int) {
	name = l.shelf.writingDay(records[0].Event.Time)
	for n = 1; n < len(records); n++ {
		if l.shelf.writingDay(records[n].Event.Time) > name {
			break
		}
	}
	return name, n
}

// write puts records into the file of a day. A file found damaged is set aside
// and a new one begun in its place.
func (l *Log) write(name string, records []event.Record) error {
	err := l.writeOnce(name, records)
	if errors.Is(err, ErrDamaged) {
		err = l.writeOnce(name, records)
	}
	return err
}

func (l *Log) writeOnce(name string, records []event.Record) error {
	d, err := l.shelf.begin(name, l.position.Load())
	if err != nil {
		return err
	}
	// Earlier days are read before the write transaction, which would
	// otherwise be held over their opening.
	earlier, err := l.searchEarlier(records)
	if err != nil {
		return err
	}
	repeated, err := l.searchRepeated(d, records)
	if err != nil {
		return err
	}
	return l.shelf.update(d, func(tx *bolt.Tx) error {
		a := readAbout(tx)
		p := newPage(tx)
		for i := range records {
			if records[i].Position <= a.position {
				continue // an earlier try reached the disk after all
			}
			a.position = records[i].Position
			if e := &records[i].Event; once(e) && (repeated[e.ID] || p.told(e.ID)) {
				l.repeated.Add(1)
				continue
			}
			if err := l.put(p, records[i], earlier); err != nil {
				return err
			}
			a.count++
		}
		return writeAbout(tx, a)
	})
}

func (l *Log) put(p page, r event.Record, earlier map[string]event.Event) error {
	e := r.Event
	if needsOrigin(&e) {
		l.complete(p, &e, earlier)
	}
	value, repaired, err := encode(&e)
	if err != nil {
		return err
	}
	if repaired {
		l.repaired.Add(1)
		l.logger.Warn("event repaired to be written", "event", e.ID)
	}
	return p.put(r.Position, &e, value)
}

// page is the day file inside a transaction.
type page struct {
	tx               *bolt.Tx
	events, accepted *bolt.Bucket
}

func newPage(tx *bolt.Tx) page {
	p := page{tx, tx.Bucket([]byte(eventsBucket)), tx.Bucket([]byte(acceptedBucket))}
	p.events.FillPercent = fillPercent
	p.accepted.FillPercent = fillPercent
	return p
}

// put writes the encoded event, and the way to it if it is an accepted one or
// one that is told once.
func (p page) put(position uint64, e *event.Event, value []byte) error {
	if err := p.events.Put(key(position), value); err != nil {
		return err
	}
	if once(e) {
		return p.putOnce(e.ID, position)
	}
	if e.Type != event.Accepted {
		return nil
	}
	return p.accepted.Put([]byte(originKey(e.Message, e.Index)), key(position))
}
