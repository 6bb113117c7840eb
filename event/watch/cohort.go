package watch

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/fnv"
	"strconv"

	"github.com/postrider-mta/postrider/event"
)

// mark stands for one recipient of one message.
type mark uint64

// markOf returns the mark of the recipient that an event is about. Where the
// message is not known it stands for the event.
func markOf(e *event.Event) mark {
	h := fnv.New64a()
	if e.Message == "" {
		_, _ = h.Write([]byte(e.ID))
	} else {
		_, _ = h.Write([]byte(e.Message + "/" + strconv.Itoa(e.Index)))
	}
	return mark(h.Sum64())
}

// cohort is a set of deliveries: those since a release. In the file it is one
// text.
type cohort map[mark]struct{}

var (
	_ json.Marshaler   = cohort{}
	_ json.Unmarshaler = (*cohort)(nil)
)

// add reports whether m was not in the set.
func (c *cohort) add(m mark) bool {
	if *c == nil {
		*c = cohort{}
	}
	before := len(*c)
	(*c)[m] = struct{}{}
	return len(*c) > before
}

func (c cohort) has(m mark) bool {
	_, ok := c[m]
	return ok
}

// MarshalJSON implements json.Marshaler.
func (c cohort) MarshalJSON() ([]byte, error) {
	marks := make([]mark, 0, len(c))
	for m := range c {
		marks = append(marks, m)
	}
	return json.Marshal(packMarks(marks))
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *cohort) UnmarshalJSON(text []byte) error {
	var packed []byte
	if err := json.Unmarshal(text, &packed); err != nil {
		return err
	}
	marks, err := unpackMarks(packed)
	for _, m := range marks {
		c.add(m)
	}
	return err
}

const markOctets = 8

var errMarks = errors.New("marks are cut")

func packMarks(marks []mark) []byte {
	packed := make([]byte, 0, markOctets*len(marks))
	for _, m := range marks {
		packed = binary.BigEndian.AppendUint64(packed, uint64(m))
	}
	return packed
}

func unpackMarks(packed []byte) ([]mark, error) {
	if len(packed)%markOctets != 0 {
		return nil, errMarks
	}
	var marks []mark
	for ; len(packed) > 0; packed = packed[markOctets:] {
		marks = append(marks, mark(binary.BigEndian.Uint64(packed)))
	}
	return marks, nil
}
