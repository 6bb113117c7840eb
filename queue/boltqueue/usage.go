package boltqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/queue"
)

// tally is what a tenant has waiting, as of the last applied record.
type tally struct {
	queue.Usage
	// changed: the row of the last checkpoint says otherwise.
	changed bool
}

// Usage implements queue.Store.
func (s *Store) Usage(tenant string) queue.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.usage[tenant]; t != nil {
		return t.Usage
	}
	return queue.Usage{}
}

// tally counts a message that came, or that is owed no more.
func (m *memory) tally(msg *queue.Message, sign int64) {
	t := m.usage[msg.Tenant]
	if t == nil {
		t = &tally{}
		m.usage[msg.Tenant] = t
	}
	t.Messages += sign
	t.Bytes += sign * msg.Size
	t.changed = true
}

// freezeUsage returns the rows to write.
func (m *memory) freezeUsage() map[string]queue.Usage {
	rows := map[string]queue.Usage{}
	for tenant, t := range m.usage {
		if t.changed {
			rows[tenant] = t.Usage
			t.changed = false
		}
		if t.Usage == (queue.Usage{}) {
			delete(m.usage, tenant)
		}
	}
	return rows
}

// thawUsage makes out of date what could not be written.
func (m *memory) thawUsage(rows map[string]queue.Usage) {
	for tenant := range rows {
		t := m.usage[tenant]
		if t == nil {
			t = &tally{}
			m.usage[tenant] = t
		}
		t.changed = true
	}
}

// usageKey is never empty, as a tenant's name may be.
func usageKey(tenant string) []byte { return []byte("=" + tenant) }

func writeUsage(tx *bolt.Tx, rows map[string]queue.Usage) error {
	b := tx.Bucket([]byte(bucketUsage))
	for tenant, u := range rows {
		var err error
		if u == (queue.Usage{}) {
			err = b.Delete(usageKey(tenant))
		} else {
			err = b.Put(usageKey(tenant), appendUsage(nil, u))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func appendUsage(b []byte, u queue.Usage) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, u.Messages), u.Bytes)
}

func decodeUsage(b []byte) (queue.Usage, error) {
	d := decoder{b: b}
	u := queue.Usage{Messages: d.varint(), Bytes: d.varint()}
	if d.err != nil {
		return queue.Usage{}, fmt.Errorf("usage row: %w", d.err)
	}
	return u, nil
}

func (s *Store) loadUsage(k, v []byte) error {
	u, err := decodeUsage(v)
	if err != nil || len(k) == 0 {
		return errors.Join(errEncoding, err)
	}
	s.usage[string(k[1:])] = &tally{Usage: u}
	return nil
}

// checkUsage compares the rows of tenants with the messages.
func (c *census) checkUsage() error {
	want := map[string]queue.Usage{}
	err := c.tx.Bucket([]byte(bucketMessages)).ForEach(func(_, v []byte) error {
		row, err := decodeMessageRow(v)
		if err != nil {
			return err
		}
		u := want[row.message.Tenant]
		want[row.message.Tenant] = queue.Usage{Messages: u.Messages + 1, Bytes: u.Bytes + row.message.Size}
		return nil
	})
	if err != nil {
		return err
	}
	rows := 0
	err = c.tx.Bucket([]byte(bucketUsage)).ForEach(func(k, v []byte) error {
		u, err := decodeUsage(v)
		if err != nil {
			return err
		}
		rows++
		if tenant := string(k[1:]); u != want[tenant] {
			return fmt.Errorf("tenant %s: row %+v, messages say %+v", tenant, u, want[tenant])
		}
		return nil
	})
	if err == nil && rows != len(want) {
		err = fmt.Errorf("%d usage rows for %d tenants", rows, len(want))
	}
	return err
}
