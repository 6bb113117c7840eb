package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
)

// followBatch is how many records Follow hands over at most.
const followBatch = 500

// Read returns up to limit records after a position, in order; none at the
// end. What expired is passed over.
func (l *Log) Read(ctx context.Context, after uint64, limit int) ([]event.Record, error) {
	var records []event.Record
	for wanted := limit; wanted > 0; wanted = limit - len(records) {
		values, err := l.readValues(ctx, after, wanted)
		if err != nil {
			return nil, err
		}
		records = l.decodeAll(records, values)
		if len(values) < wanted {
			break // those are all
		}
		after = values[len(values)-1].position
	}
	return records, nil
}

// readValues returns up to limit stored records after a position, in order.
func (l *Log) readValues(ctx context.Context, after uint64, limit int) ([]value, error) {
	days, err := l.daysAfter(after)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	var all []value
	for _, d := range days {
		for len(all) < limit {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			values, err := l.shelf.values(d, after, limit-len(all))
			if err != nil && !errors.Is(err, ErrDamaged) {
				return nil, fmt.Errorf("read events: %w", err)
			}
			if len(values) == 0 {
				break
			}
			after = values[len(values)-1].position
			all = append(all, values...)
		}
	}
	return all, nil
}

// daysAfter returns the days that can hold records after a position.
func (l *Log) daysAfter(after uint64) ([]*day, error) {
	if l.shelf.isClosed() {
		return nil, ErrClosed
	}
	days := l.shelf.list()
	var failure error
	damaged := map[*day]bool{}
	first := sort.Search(len(days), func(i int) bool {
		base, err := l.shelf.base(days[i])
		switch {
		case errors.Is(err, ErrDamaged):
			damaged[days[i]] = true
		case err != nil:
			failure = errors.Join(failure, err)
		}
		return base > after
	})
	if failure != nil {
		return nil, failure
	}
	if len(damaged) > 0 {
		return l.daysAfter(after) // without those just set aside
	}
	return days[max(first-1, 0):], nil
}

// value is one record as it is stored.
type value struct {
	position uint64
	raw      []byte
}

// values copies up to limit stored records of a day after a position.
func (s *shelf) values(d *day, after uint64, limit int) ([]value, error) {
	if after == ^uint64(0) {
		return nil, nil
	}
	var values []value
	err := s.view(d, func(tx *bolt.Tx) error {
		values = nil
		cursor := tx.Bucket([]byte(eventsBucket)).Cursor()
		for k, v := cursor.Seek(key(after + 1)); k != nil && len(values) < limit; k, v = cursor.Next() {
			values = append(values, value{number(k), slices.Clone(v)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

func (l *Log) decodeAll(records []event.Record, values []value) []event.Record {
	records = slices.Grow(records, len(values))
	for _, v := range values {
		e, err := decode(v.raw)
		if err != nil {
			l.skipDamaged(v.position, err)
			continue
		}
		records = append(records, event.Record{Position: v.position, Event: e})
	}
	return records
}

func (l *Log) skipDamaged(position uint64, err error) {
	l.damagedRecords.Add(1)
	l.logger.Error("damaged event skipped", "position", position, "cause", err)
}

// Follow hands over all records after a position, in order and in batches,
// first those there are and then new ones as they come, until ctx ends, the
// log is closed or handle fails. Its error is never nil.
func (l *Log) Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error {
	return l.follow(ctx, after, nil, handle)
}

// FollowTypes is Follow for records of some types alone. The others are not
// decoded, which is most of what reading costs.
func (l *Log) FollowTypes(ctx context.Context, after uint64, types []event.Type, handle func([]event.Record) error) error {
	return l.follow(ctx, after, types, handle)
}

func (l *Log) follow(ctx context.Context, after uint64, types []event.Type, handle func([]event.Record) error) error {
	for {
		news := l.news.wait()
		values, err := l.readValues(ctx, after, followBatch)
		if err != nil {
			return err
		}
		if len(values) > 0 {
			after = values[len(values)-1].position
			if types != nil {
				values = slices.DeleteFunc(values, func(v value) bool { return !slices.Contains(types, typeOf(v.raw)) })
			}
			if records := l.decodeAll(nil, values); len(records) > 0 {
				if err := handle(records); err != nil {
					return err
				}
			}
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// typeOf reads the type of a stored event; empty where it cannot. Inside of
// other members every quote is escaped.
func typeOf(raw []byte) event.Type {
	_, rest, _ := bytes.Cut(raw, []byte(`"type":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return event.Type(name)
}
