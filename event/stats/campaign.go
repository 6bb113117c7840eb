package stats

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

// names say which campaign of which stream of whom: the finest that is counted
// apart from days and links.
type names struct{ tenant, stream, campaign string }

// otherName stands for the campaigns and links beyond what is counted apart.
const otherName = "(other)"

// maxName bounds a stored name; submission allows less.
const maxName = 1024

func (n names) key() []byte {
	b := appendText(nil, cut(n.tenant))
	b = appendText(b, cut(n.stream))
	return appendText(b, cut(n.campaign))
}

func cut(name string) string { return name[:min(len(name), maxName)] }

func readNames(key []byte) (names, error) {
	f := fields{b: key}
	n := names{f.text(), f.text(), f.text()}
	return n, f.err
}

// campaign is a row of its own with the sum of its days.
type campaign struct {
	names
	id uint32
	// links counts those that have a place of their own.
	links uint64
	// last is the newest day counted.
	last  day
	total counters
}

func (c *campaign) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.id))
	b = binary.AppendUvarint(b, c.links)
	b = binary.AppendUvarint(b, uint64(c.last))
	return c.total.append(b)
}

func readCampaign(key, value []byte) (*campaign, error) {
	n, err := readNames(key)
	if err != nil {
		return nil, err
	}
	f := fields{b: value}
	c := &campaign{names: n, id: uint32(f.number()), links: f.number(), last: day(f.number())}
	c.total = f.counters()
	return c, f.err
}

// place finds a campaign, or makes it while its tenant has room for more.
func (t *transaction) place(n names) (*campaign, error) {
	if c := t.campaigns[n]; c != nil {
		return c, nil
	}
	c, err := t.find(n)
	if err != nil {
		return nil, err
	}
	t.campaigns[n] = c
	return c, nil
}

func (t *transaction) find(n names) (*campaign, error) {
	key := n.key()
	if value := t.bucket(campaignsBucket).Get(key); value != nil {
		return readCampaign(key, value)
	}
	used := t.tenantUse(n.tenant)
	if used >= t.store.options.Campaigns && n.campaign != otherName {
		n.campaign = otherName
		return t.place(n)
	}
	id, err := t.bucket(campaignsBucket).NextSequence()
	if err != nil {
		return nil, err
	}
	c := &campaign{names: n, id: uint32(id)}
	// Its row is there from now on, so that others of the batch are counted
	// behind it.
	if err := t.bucket(campaignsBucket).Put(key, c.append(nil)); err != nil {
		return nil, err
	}
	return c, t.setTenantUse(n.tenant, used+1)
}

func (t *transaction) tenantUse(tenant string) int {
	n, _ := binary.Uvarint(t.bucket(tenantsBucket).Get(appendText(nil, cut(tenant))))
	return int(n)
}

func (t *transaction) setTenantUse(tenant string, n int) error {
	key := appendText(nil, cut(tenant))
	if n <= 0 {
		return t.bucket(tenantsBucket).Delete(key)
	}
	return t.bucket(tenantsBucket).Put(key, binary.AppendUvarint(nil, uint64(n)))
}

// dayKey is the key of one day of one campaign.
func dayKey(id uint32, d day) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, id), uint32(d))
}

func readDayKey(key []byte) (id uint32, d day) {
	return binary.BigEndian.Uint32(key), day(binary.BigEndian.Uint32(key[4:]))
}

// scan calls yield for what a bucket has under a prefix.
func scan(b *bolt.Bucket, prefix []byte, yield func(key, value []byte) error) error {
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, v = c.Next() {
		if err := yield(k, v); err != nil {
			return err
		}
	}
	return nil
}

func hasPrefix(b, prefix []byte) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == string(prefix)
}
