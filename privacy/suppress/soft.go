package suppress

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"
)

// softMemory times the span of soft bounces is how long a count is kept
// without another one.
const softMemory = 4

// softCount is what is known of an address's soft bounces.
type softCount struct {
	count uint32
	// first and last are the times of them, to the second.
	first, last time.Time
	// position of the last event, so that none counts twice.
	position uint64
	// delivered is the mark of the message that was delivered since: the count
	// begins anew, unless that one comes back. Zero for none.
	delivered uint64
}

const (
	// softLength is that of an encoded count, earlierLength of one from before
	// deliveries were in it.
	softLength    = earlierLength + 8
	earlierLength = 4 + 8 + 8 + 8
)

// markOf stands for a message.
func markOf(message string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(message)) // never fails
	return max(h.Sum64(), 1)
}

func (c softCount) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, softLength), c.count)
	b = binary.BigEndian.AppendUint64(b, uint64(c.first.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(c.last.Unix()))
	b = binary.BigEndian.AppendUint64(b, c.position)
	return binary.BigEndian.AppendUint64(b, c.delivered)
}

func decodeSoft(b []byte) (softCount, error) {
	if len(b) != softLength && len(b) != earlierLength {
		return softCount{}, fmt.Errorf("%w: count of soft bounces of %d octets", ErrDamaged, len(b))
	}
	c := softCount{
		count:    binary.BigEndian.Uint32(b),
		first:    time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0).UTC(),
		last:     time.Unix(int64(binary.BigEndian.Uint64(b[12:])), 0).UTC(),
		position: binary.BigEndian.Uint64(b[20:]),
	}
	if len(b) == softLength {
		c.delivered = binary.BigEndian.Uint64(b[earlierLength:])
	}
	return c, nil
}

// enough reports whether they suppress an address.
func (r Rules) enough(c softCount) bool {
	return int(c.count) >= r.SoftBounces && c.last.Sub(c.first) >= r.SoftSpan
}

// forgotten is when a count is no longer kept.
func (r Rules) forgotten(c softCount) time.Time { return c.last.Add(softMemory * r.SoftSpan) }

// countSoft counts a soft bounce under a prefix.
func (w *write) countSoft(rules Rules, prefix []byte, o *Observation) (c softCount, err error) {
	value := w.get(softBucket, prefix)
	if value != nil {
		if c, err = decodeSoft(value); err != nil {
			return c, err
		}
	}
	switch {
	case value != nil && o.Position <= c.position:
		return c, nil // counted before
	case value == nil || o.Time.After(rules.forgotten(c)) || c.delivered != 0 && !(o.Late && c.delivered == markOf(o.Message)):
		c = softCount{}
	}
	if c.count == 0 {
		c.first = o.Time
	}
	c.count, c.position, c.delivered = c.count+1, o.Position, 0
	if o.Time.After(c.last) {
		c.last = o.Time
	}
	if err := w.put(softBucket, prefix, c.encode()); err != nil {
		return c, err
	}
	if value != nil {
		return c, nil // what is scheduled is looked at again when it is due
	}
	return c, w.schedule(rules.forgotten(c), softBucket, prefix)
}

// resetSoft has the count begin anew after a delivery. It is kept until the next
// bounce: what a server takes and sends back was no delivery.
func (w *write) resetSoft(prefix []byte, o *Observation) error {
	value := w.get(softBucket, prefix)
	if value == nil {
		return nil
	}
	c, err := decodeSoft(value)
	if err != nil || c.position >= o.Position {
		return err
	}
	if c.delivered != 0 {
		c.count = 0 // the one before did not come back yet
	}
	c.position, c.delivered = o.Position, markOf(o.Message)
	return w.put(softBucket, prefix, c.encode())
}
