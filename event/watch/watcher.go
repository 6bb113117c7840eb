package watch

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// Watcher counts and judges. It is safe for concurrent use, but only one Run at
// a time.
type Watcher struct {
	options Options
	// saving is held while the file is written; it is taken before mu.
	saving sync.Mutex

	mu sync.Mutex
	// cursor is the position of the last event counted; begun is false where
	// none ever was.
	cursor uint64
	begun  bool
	// senders are tenants, streams and campaigns, and sites providers: records
	// by their scopes.
	senders, sites shelf
	// domains tell the site of a domain, where mail went there.
	domains map[string]string
	// reported are the marks of the last complaints, so that each counts once.
	reported []mark
	// remembered counts the deliveries in all cohorts.
	remembered int
	// deciding counts the decisions that were not carried out yet: what the file
	// says must not run ahead of them.
	deciding int
	dirty    bool
	exceeded map[exceededKey]int64
	evicted  int64
}

type exceededKey struct {
	Tenant, Stream string
	Figure         Figure
	Action         Action
}

const (
	// maxDomains bounds what is known of domains.
	maxDomains = 10_000
	// maxReported bounds the complaints that are known from repeated ones.
	maxReported = 4096
)

// shelf holds records, the one that was used last in front.
type shelf struct {
	all   map[Scope]*list.Element
	order list.List
}

func (s *shelf) find(scope Scope) *record {
	e := s.all[scope]
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return e.Value.(*record)
}

func (s *shelf) put(r *record) {
	if s.all == nil {
		s.all = map[Scope]*list.Element{}
	}
	s.all[r.Scope] = s.order.PushFront(r)
}

func (s *shelf) drop(e *list.Element) *record {
	r := s.order.Remove(e).(*record)
	delete(s.all, r.Scope)
	return r
}

// heldSearch bounds how many records are passed over since they are held.
const heldSearch = 100

// oldest returns the record that was not used for longest; one that is held only
// if there are many.
func (s *shelf) oldest() *list.Element {
	last := s.order.Back()
	for e, n := last, 0; e != nil && n < heldSearch; e, n = e.Prev(), n+1 {
		if e.Value.(*record).Hold == "" {
			return e
		}
	}
	return last
}

// each calls f for all records, those that were not used for longest first.
func (s *shelf) each(f func(*record)) {
	for e := s.order.Back(); e != nil; e = e.Prev() {
		f(e.Value.(*record))
	}
}

func (w *Watcher) shelf(l Level) *shelf {
	if l == OfSite {
		return &w.sites
	}
	return &w.senders
}

// record finds that of a scope, or makes it in the place of the one that was not
// used for longest. The caller holds mu.
func (w *Watcher) record(scope Scope) *record {
	s := w.shelf(scope.Level)
	if r := s.find(scope); r != nil {
		return r
	}
	for len(s.all) >= w.options.Scopes {
		w.remembered -= len(s.drop(s.oldest()).Cohort)
		w.evicted++
	}
	r := &record{Scope: scope}
	s.put(r)
	return r
}

// Types are those of the events that are counted.
func Types() []event.Type { return []event.Type{event.Delivered, event.Bounced, event.Complained} }

// kindOf says what an event is for the rates; false for nothing.
func kindOf(e *event.Event) (kind, bool) {
	switch e.Type {
	case event.Delivered:
		return delivered, true
	case event.Complained:
		return complained, true
	case event.Bounced:
		k := kindOfBounce(e.Category)
		if e.Attempt > 0 {
			return k, true
		}
		// It came by mail: the recipient was counted as delivered.
		return returned, k == bounced
	}
	return 0, false
}

// kindOfBounce parts bounces by their category, one of docs/events.md.
func kindOfBounce(category string) kind {
	switch category {
	case "invalid_recipient", "inactive":
		return bounced
	case "policy", "spam", "blocklist", "authentication", "rate_limit":
		return blocked
	}
	return failed
}

// take counts an event and returns what it leads to. The caller carries that
// out and says so with done.
func (w *Watcher) take(r *event.Record) []*Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cursor, w.begun, w.dirty = r.Position, true, true
	e := &r.Event
	k, ok := kindOf(e)
	if !ok || e.Tenant == "" {
		return nil
	}
	of := markOf(e)
	if k == complained && w.repeated(of) {
		return nil
	}
	var decisions []*Decision
	for _, scope := range scopesOf(e.Tenant, e.Stream, e.Campaign, w.siteOf(e)) {
		known := w.record(scope)
		known.followClock(e.Time, w.options.Now(), &w.options)
		if known.count(e.Time, k, of, &w.options, w.remembered < w.options.Cohort) {
			w.remembered++
		}
		made := w.judge(known, r)
		known.deciding += len(made)
		decisions = append(decisions, made...)
	}
	w.deciding += len(decisions)
	return decisions
}

func (w *Watcher) done(d *Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deciding--
	if e := w.shelf(d.Scope.Level).all[d.Scope]; e != nil {
		r := e.Value.(*record)
		r.deciding = max(r.deciding-1, 0) // it may be another one than before
	}
}

// repeated reports whether a reader complained about the same message before.
func (w *Watcher) repeated(m mark) bool {
	if slices.Contains(w.reported, m) {
		return true
	}
	if len(w.reported) >= maxReported {
		w.reported = slices.Delete(w.reported, 0, maxReported/2)
	}
	w.reported = append(w.reported, m)
	return false
}

// siteOf returns the site of an event. A complaint names none: it is the one
// that mail for the domain went to.
func (w *Watcher) siteOf(e *event.Event) string {
	domain := domainOf(e.Recipient)
	if e.Site == "" || domain == "" {
		if e.Site == "" {
			return w.domains[domain]
		}
		return e.Site
	}
	if w.domains == nil || len(w.domains) >= maxDomains && w.domains[domain] == "" {
		w.domains = map[string]string{}
	}
	w.domains[domain] = e.Site
	return e.Site
}

// Released takes note that the operator ended a hold: what was counted before is
// not judged again.
func (w *Watcher) Released(hold string, at time.Time) {
	w.beginAnew(at, func(r *record) bool { return r.Hold == hold && hold != "" })
}

// Lifted takes note that the operator ended all pauses: for their campaigns too
// what was counted before is not judged again.
func (w *Watcher) Lifted(at time.Time) {
	w.beginAnew(at, func(r *record) bool { return r.Hold == "" && r.Paused.After(at) })
}

func (w *Watcher) beginAnew(at time.Time, chosen func(*record) bool) {
	found := false
	w.mu.Lock()
	w.senders.each(func(r *record) {
		if chosen(r) {
			w.remembered -= len(r.Cohort)
			r.release(at)
			found, w.dirty = true, true
		}
	})
	w.mu.Unlock()
	if found {
		w.trySave()
	}
}

// forget drops what nothing would be lost with at a time. The caller holds mu.
func (w *Watcher) forget(at time.Time) {
	for _, s := range []*shelf{&w.senders, &w.sites} {
		for e := s.order.Front(); e != nil; {
			next := e.Next()
			r := e.Value.(*record)
			if len(r.Cohort) > 0 && !r.cohortJudges(at, &w.options) {
				w.remembered -= len(r.Cohort)
				r.Cohort = nil
			}
			if r.idle(at, &w.options) {
				s.drop(e)
			}
			e = next
		}
	}
}
