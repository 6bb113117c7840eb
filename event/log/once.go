package log

import (
	"errors"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/event"
)

// onceBucket maps the ids of events that are told once to their positions. A
// file has it from its first such event on.
const onceBucket = "once"

// once reports an event of something that came back by mail: it may come back
// again, and its id, which begins with the message's, is the same each time.
func once(e *event.Event) bool {
	switch e.Type {
	case event.Bounced, event.Complained, event.Unsubscribed:
		return e.Attempt == 0 && e.Message != "" && strings.HasPrefix(e.ID, e.Message+"-")
	}
	return false
}

// searchRepeated finds which of the records that are told once were told on an
// earlier day than d, within LookBack.
func (l *Log) searchRepeated(d *day, records []event.Record) (map[string]bool, error) {
	var repeated map[string]bool
	for i := range records {
		e := &records[i].Event
		if !once(e) || repeated[e.ID] {
			continue
		}
		told, err := l.toldBefore(d, e.ID)
		if err != nil {
			return nil, err
		}
		if told {
			if repeated == nil {
				repeated = map[string]bool{}
			}
			repeated[e.ID] = true
		}
	}
	return repeated, nil
}

func (l *Log) toldBefore(newest *day, id string) (told bool, err error) {
	oldest := l.oldest(newest.name)
	for _, d := range slices.Backward(l.shelf.list()) {
		if d.name < oldest || told {
			break
		}
		if d == newest || !l.shelf.mayHoldOnce(d, id) {
			continue
		}
		err := l.shelf.view(d, func(tx *bolt.Tx) error {
			told = newPage(tx).told(id)
			return nil
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			return false, err
		}
	}
	return told, nil
}

// mayHoldOnce reports whether a closed day's ids surround one.
func (s *shelf) mayHoldOnce(d *day, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !d.known || d.name == s.newest || d.about.firstOnce <= id && id <= d.about.lastOnce
}

// told reports whether the file has an event of that id that is told once.
func (p page) told(id string) bool {
	ids := p.tx.Bucket([]byte(onceBucket))
	return ids != nil && ids.Get([]byte(id)) != nil
}

func (p page) putOnce(id string, position uint64) error {
	ids, err := p.tx.CreateBucketIfNotExists([]byte(onceBucket))
	if err != nil {
		return err
	}
	return ids.Put([]byte(id), key(position))
}

// onceBounds are the first and the last id in a file; empty where it has none.
func onceBounds(tx *bolt.Tx) (first, last string) {
	ids := tx.Bucket([]byte(onceBucket))
	if ids == nil {
		return "", ""
	}
	low, _ := ids.Cursor().First()
	high, _ := ids.Cursor().Last()
	return string(low), string(high)
}
