package sts

import (
	"container/list"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// minAge is the shortest time for which a policy holds, whatever it says: a
// domain must not make us fetch without end.
const minAge = 5 * time.Minute

// entry is what is known of one domain.
type entry struct {
	domain mail.Domain
	// policy holds from fetched until expires; it was announced by id.
	id               string
	policy           Policy
	fetched, expires time.Time
	// next is when another fetch is due: a refresh, or one more try.
	next time.Time
	// failure is why the last fetch, for the policy of failedID, brought
	// nothing; failures counts such fetches.
	failedID string
	failure  error
	failures int
}

func newEntry(domain mail.Domain, id string, policy Policy, fetched time.Time, refresh time.Duration) entry {
	age := max(policy.MaxAge, minAge)
	return entry{
		domain: domain, id: id, policy: policy, fetched: fetched,
		expires: fetched.Add(age), next: fetched.Add(min(refresh, age/2)),
	}
}

func (e *entry) holds(now time.Time) bool { return e.policy.Mode != "" && now.Before(e.expires) }

func (e *entry) found() Found { return Found{Policy: e.policy, ID: e.id, Expires: e.expires} }

// cost estimates the memory that an entry takes.
func (e *entry) cost() int {
	octets := 400 + len(e.domain)
	for _, pattern := range e.policy.MX {
		octets += 16 + len(pattern)
	}
	return octets
}

// shelf holds the most recently used entries within its bounds.
type shelf struct {
	maxEntries, maxOctets int
	octets                int
	byDomain              map[mail.Domain]*list.Element
	recent                *list.List
}

func newShelf(entries, octets int) *shelf {
	return &shelf{
		maxEntries: entries, maxOctets: octets,
		byDomain: make(map[mail.Domain]*list.Element), recent: list.New(),
	}
}

func (s *shelf) len() int { return len(s.byDomain) }

// get returns what is known of domain, and counts as a use of it.
func (s *shelf) get(domain mail.Domain) (entry, bool) {
	element, ok := s.byDomain[domain]
	if !ok {
		return entry{}, false
	}
	s.recent.MoveToFront(element)
	return *element.Value.(*entry), true
}

// peek is get without the use.
func (s *shelf) peek(domain mail.Domain) (entry, bool) {
	element, ok := s.byDomain[domain]
	if !ok {
		return entry{}, false
	}
	return *element.Value.(*entry), true
}

// put remembers e, pushing out what was used longest ago. What is known of a
// domain is replaced in its place: a refresh is no use.
func (s *shelf) put(e entry) {
	s.octets += e.cost()
	if element, ok := s.byDomain[e.domain]; ok {
		s.octets -= element.Value.(*entry).cost()
		*element.Value.(*entry) = e
	} else {
		s.byDomain[e.domain] = s.recent.PushFront(&e)
	}
	for len(s.byDomain) > s.maxEntries || s.octets > s.maxOctets && len(s.byDomain) > 1 {
		s.drop(s.recent.Back().Value.(*entry).domain)
	}
}

func (s *shelf) drop(domain mail.Domain) {
	element, ok := s.byDomain[domain]
	if !ok {
		return
	}
	s.octets -= element.Value.(*entry).cost()
	s.recent.Remove(element)
	delete(s.byDomain, domain)
}

// all returns every entry, those used last first.
func (s *shelf) all() []entry {
	entries := make([]entry, 0, s.len())
	for element := s.recent.Front(); element != nil; element = element.Next() {
		entries = append(entries, *element.Value.(*entry))
	}
	return entries
}
