package suppress

import (
	"bytes"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Check answers whether a tenant may mail an address on a stream: found means
// no, and the entry says why. An empty stream asks whether none of the tenant's
// may. On an error it is not known, and nothing may be sent for now.
func (s *Store) Check(tenant, stream string, a mail.Address) (entry Entry, found bool, err error) {
	now := time.Now()
	err = s.look(tenant, a, func(e *Entry) {
		if s.Holds(e, tenant, stream, now) && (!found || e.Reason.rank() < entry.Reason.rank()) {
			entry, found = *e, true
		}
	})
	return entry, found, err
}

// Revision is another one once Check may have come to answer otherwise than
// before, but for what expires. Whoever reads it and then checks has an answer
// that holds for as long as it stays.
func (s *Store) Revision() uint64 { return s.revision.Load() }

// Lookup returns all entries about an address that concern a tenant, those of
// AllTenants among them, but for the expired ones.
func (s *Store) Lookup(tenant string, a mail.Address) (entries []Entry, err error) {
	now := time.Now()
	err = s.look(tenant, a, func(e *Entry) {
		if !e.expired(now) {
			entries = append(entries, *e)
		}
	})
	return entries, err
}

// Holds reports whether an entry keeps back a tenant's mail on a stream; empty
// for all of its streams.
func (s *Store) Holds(e *Entry, tenant, stream string, now time.Time) bool {
	switch {
	case e.expired(now), e.Tenant != tenant && e.Tenant != AllTenants:
		return false
	case e.Stream != "":
		return e.Stream == stream
	}
	return !e.Reason.Bulk() || stream != "" && s.bulk(tenant, stream)
}

// look calls yield for each entry about an address, the tenant's first.
func (s *Store) look(tenant string, a mail.Address, yield func(*Entry)) error {
	prefixes := s.prefixes(tenant, a)
	if tenant != AllTenants && (*s.lists.Load())[markOperator] {
		prefixes = append(prefixes, s.prefixes(AllTenants, a)...)
	}
	f := s.filter.Load()
	prefixes = slices.DeleteFunc(prefixes, func(prefix []byte) bool { return !f.mayHave(prefix) })
	if len(prefixes) == 0 {
		return s.usable()
	}
	return s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket([]byte(entriesBucket)).Cursor()
		for _, prefix := range prefixes {
			for k, v := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
				e, err := s.secret.decodeEntry(k, v)
				if err != nil {
					return err
				}
				yield(&e)
			}
		}
		return nil
	})
}

// prefixes are where all rows of a tenant about an address lie.
func (s *Store) prefixes(tenant string, a mail.Address) [][]byte {
	prefixes := make([][]byte, 0, 4)
	prefixes = append(prefixes, s.secret.prefix(tenant, a))
	if (*s.lists.Load())[markMD5+tenant] {
		prefixes = append(prefixes, s.secret.prefixMD5(tenant, a))
	}
	return prefixes
}

// The marks of lists that most stores do not have, so that a look-up need not
// ask them: the operator's own, and those of tenants who brought in MD5 hashes.
const (
	markList     = "list\x00"
	markOperator = markList + AllTenants
	markMD5      = markList + "md5\x00"
)

// marks of the lists that an entry is on.
func (p *placed) marks() []string {
	var marks []string
	if p.tenant == AllTenants {
		marks = append(marks, markOperator)
	}
	if p.md5 {
		marks = append(marks, markMD5+p.tenant)
	}
	return marks
}

func readLists(tx *bolt.Tx) *map[string]bool {
	lists := map[string]bool{}
	cursor := tx.Bucket([]byte(marksBucket)).Cursor()
	for k, _ := cursor.Seek([]byte(markList)); bytes.HasPrefix(k, []byte(markList)); k, _ = cursor.Next() {
		lists[string(k)] = true
	}
	return &lists
}

// nowListed adds to the lists that are asked. Only the committer calls it.
func (s *Store) nowListed(marks []string) {
	next := maps.Clone(*s.lists.Load())
	for _, mark := range marks {
		next[mark] = true
	}
	s.lists.Store(&next)
}
