package consent

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// day counts days in UTC from 1 January 1970.
type day uint32

const secondsPerDay = 24 * 60 * 60

func dayOf(t time.Time) day { return day(max(t.Unix(), 0) / secondsPerDay) }

func (d day) time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// NoteOpen has the day kept as that of the person's last opening, unless they
// do not allow it. It does not wait for the disk: see Options.Pause.
func (s *Store) NoteOpen(p [personSize]byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forbids(p) {
		return
	}
	known, waits := s.waiting[p]
	if !waits && len(s.waiting) >= s.options.Waiting {
		s.dropped.Add(1)
		return
	}
	s.waiting[p] = max(known, dayOf(at))
}

// forbids reports that no day may be kept of a person. The caller holds mu.
func (s *Store) forbids(p Person) bool {
	m, limited := s.limits[p]
	return s.fault != nil || limited && !m.Allows(account.MeasureHygiene)
}

// Dropped counts openings that found no room to wait in.
func (s *Store) Dropped() int64 { return s.dropped.Load() }

// writeOpenings writes from time to time what waits, and the rest at the end.
func (s *Store) writeOpenings() {
	ticks := time.NewTicker(s.options.Pause)
	defer ticks.Stop()
	for open := true; open; {
		select {
		case <-ticks.C:
		case <-s.stop:
			open = false
		}
		if err := s.flush(); err != nil {
			s.logger.Warn("days of openings are not written, trying again", "error", err)
		}
	}
}

// flush writes what waits; after an error it waits on.
func (s *Store) flush() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	taken := s.take()
	if len(taken) == 0 {
		return nil
	}
	err := s.update(func(tx *bolt.Tx) error {
		openings := tx.Bucket([]byte(openingsBucket))
		for p, d := range taken {
			if d <= readDay(openings.Get(p[:])) {
				continue
			}
			if err := openings.Put(append([]byte(nil), p[:]...), binary.BigEndian.AppendUint32(nil, uint32(d))); err != nil {
				return err
			}
		}
		return nil
	})
	s.written(err)
	return err
}

func (s *Store) take() map[Person]day {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing, s.waiting = s.waiting, map[Person]day{}
	return s.writing
}

// written forgets the days that were, and has them wait on after an error.
func (s *Store) written(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.writing
	s.writing = nil
	if err == nil {
		return
	}
	for p, d := range taken {
		if !s.forbids(p) {
			s.waiting[p] = max(s.waiting[p], d)
		}
	}
}

func readDay(value []byte) day {
	if len(value) != 4 {
		return 0
	}
	return day(binary.BigEndian.Uint32(value))
}

// LastOpen returns the day of a reader's last opening, as its first moment in
// UTC; known is false where there is none.
func (s *Store) LastOpen(tenant string, a mail.Address) (on time.Time, known bool, err error) {
	d, known, err := s.lastOpen(s.person(tenant, a))
	return d.time(), known, err
}

func (s *Store) lastOpen(p Person) (d day, known bool, err error) {
	s.mu.RLock()
	d = max(s.waiting[p], s.writing[p])
	s.mu.RUnlock()
	err = s.view(func(tx *bolt.Tx) error {
		d = max(d, readDay(tx.Bucket([]byte(openingsBucket)).Get(p[:])))
		return nil
	})
	return d, d > 0, err
}

// expireBatch is how many days are looked at in one transaction.
const expireBatch = 10_000

// Expire forgets days of openings that have been kept long enough, and returns
// how many. What persons allow is kept until they, or the tenant, say otherwise.
func (s *Store) Expire(ctx context.Context, _ time.Time) (int, error) {
	oldest, total := dayOf(time.Now().Add(-s.options.KeepOpenings)), 0
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, next, err := s.expireFrom(from, oldest)
		if total += n; err != nil {
			return total, fmt.Errorf("expire openings: %w", err)
		}
		from = next
	}
	return total, nil
}

func (s *Store) expireFrom(from []byte, oldest day) (removed int, next []byte, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	var old [][]byte
	err = s.view(func(tx *bolt.Tx) error {
		c, n := tx.Bucket([]byte(openingsBucket)).Cursor(), 0
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if n++; n > expireBatch {
				next = append([]byte(nil), k...)
				return nil
			}
			if readDay(v) < oldest {
				old = append(old, append([]byte(nil), k...))
			}
		}
		return nil
	})
	if err != nil || len(old) == 0 {
		return 0, next, err
	}
	err = s.update(func(tx *bolt.Tx) error {
		for _, k := range old {
			if err := tx.Bucket([]byte(openingsBucket)).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	return len(old), next, err
}
