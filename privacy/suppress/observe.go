package suppress

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Sign is what an event says of an address.
type Sign uint8

const (
	// SawDelivery: a server took a message for it.
	SawDelivery Sign = iota + 1
	// SawHardBounce: a server said that there is no such address.
	SawHardBounce
	// SawSoftBounce: a message could not be delivered to it, though it exists.
	SawSoftBounce
	// SawComplaint: its reader called a message spam.
	SawComplaint
)

// Observation is an event as far as it concerns suppression.
type Observation struct {
	Sign    Sign
	Tenant  string
	Address mail.Address
	Time    time.Time
	// Position of the event in the log, and its id.
	Position uint64
	Source   string
	// Message is the id of the message that it is about.
	Message string
	// Late: a server had taken the message before, and sent it back.
	Late bool
}

// Learned is an entry that an observation led to.
type Learned struct {
	// Observation is its place among those handed over.
	Observation int
	Entry       Entry
}

// Observe counts bounces and keeps the entries that they and complaints lead
// to, durably on return. Observations come in the order of their positions.
// Whoever hands them over again, from any place on, changes nothing and is
// told the same entries.
func (s *Store) Observe(ctx context.Context, observations []Observation) (learned []Learned, err error) {
	for _, o := range observations {
		if o.Tenant == "" || o.Address.IsZero() || o.Source == "" {
			return nil, fmt.Errorf("%w: an observation needs a tenant, an address and a source", ErrEntry)
		}
	}
	prefixes, err := s.relevant(observations)
	if err != nil || len(prefixes) == 0 {
		return nil, err
	}
	now := time.Now()
	err = s.committer.do(ctx, func(w *write) error {
		learned = nil
		for i := range observations {
			prefix := prefixes[i]
			if prefix == nil {
				continue
			}
			e, err := s.observe(w, prefix, &observations[i], now)
			if err != nil {
				return err
			}
			if e != nil {
				learned = append(learned, Learned{Observation: i, Entry: *e})
			}
		}
		return nil
	})
	return learned, err
}

// relevant returns the prefixes of observations that may change something, by
// their place: nearly all are deliveries to addresses of which no bounce was
// counted, and none of these needs a write.
func (s *Store) relevant(observations []Observation) (map[int][]byte, error) {
	prefixes := map[int][]byte{}
	bounced := map[string]bool{}
	err := s.view(func(tx *bolt.Tx) error {
		soft := tx.Bucket([]byte(softBucket))
		counted, _ := soft.Cursor().First()
		for i := range observations {
			o := &observations[i]
			if o.Sign == SawDelivery && counted == nil && len(bounced) == 0 {
				continue
			}
			prefix := s.secret.prefix(o.Tenant, o.Address)
			if o.Sign == SawDelivery && !bounced[string(prefix)] && soft.Get(prefix) == nil {
				continue
			}
			if o.Sign == SawSoftBounce {
				bounced[string(prefix)] = true
			}
			prefixes[i] = prefix
		}
		return nil
	})
	return prefixes, err
}

// observe returns the entry that an observation led to, now or when it was
// handed over before.
func (s *Store) observe(w *write, prefix []byte, o *Observation, now time.Time) (*Entry, error) {
	e := Entry{Tenant: o.Tenant, Address: o.Address, Time: o.Time.UTC().Truncate(time.Millisecond), Source: o.Source}
	switch o.Sign {
	case SawDelivery:
		return nil, w.resetSoft(prefix, o)
	case SawHardBounce:
		e.Reason, e.Expires = HardBounce, after(o.Time, s.rules.HardFor)
	case SawComplaint:
		e.Reason = Complaint
	case SawSoftBounce:
		c, err := w.countSoft(s.rules, prefix, o)
		if err != nil || !s.rules.enough(c) {
			return nil, err
		}
		e.Reason, e.Expires = SoftBounce, after(o.Time, s.rules.SoftFor)
	default:
		return nil, fmt.Errorf("%w: unknown sign %d", ErrEntry, o.Sign)
	}
	return s.learn(w, e.at(prefix), &e, now)
}

func (s *Store) learn(w *write, p placed, e *Entry, now time.Time) (*Entry, error) {
	if e.expired(now) {
		return nil, nil // the event was long under way
	}
	added, err := w.add(p, now)
	if err != nil || added {
		return e, err
	}
	there, err := s.secret.decodeEntry(p.key, w.get(entriesBucket, p.key))
	if err != nil || there.Source != e.Source {
		return nil, err
	}
	return &there, nil
}

// after is the end of a time that begins at t; zero for no end.
func after(t time.Time, lasts time.Duration) time.Time {
	if lasts == 0 {
		return time.Time{}
	}
	return t.Add(lasts).UTC().Truncate(time.Second)
}

// markCursor has the position that Advance was told last.
const markCursor = "cursor"

// Cursor returns the position of the last event that was listened to; 0 before
// the first.
func (s *Store) Cursor() (position uint64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if value := tx.Bucket([]byte(marksBucket)).Get([]byte(markCursor)); len(value) == 8 {
			position = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	return position, err
}

// Advance keeps the position of the last event that was listened to, durably
// on return.
func (s *Store) Advance(ctx context.Context, position uint64) error {
	return s.committer.do(ctx, func(w *write) error {
		return w.put(marksBucket, []byte(markCursor), binary.BigEndian.AppendUint64(nil, position))
	})
}
