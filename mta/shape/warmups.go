package shape

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// warmUps are those of all sources. The lock of one is taken after its.
type warmUps struct {
	mu    sync.Mutex
	fresh map[string]bool
	all   map[warmUpKey]*warmUp
}

type warmUpKey struct{ source, provider string }

// configure says which sources are new. What is known of others is kept, for
// the case that they are named again.
func (w *warmUps) configure(sources []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh = map[string]bool{}
	for _, source := range sources {
		w.fresh[source] = true
	}
	if w.all == nil {
		w.all = map[warmUpKey]*warmUp{}
	}
}

// of returns the warm-up of a source at a provider; nil for one that is not
// new.
func (w *warmUps) of(source string, c *conduct) *warmUp {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.fresh[source] {
		return nil
	}
	key := warmUpKey{source, c.warmUpName()}
	one, ok := w.all[key]
	if !ok {
		one = &warmUp{warmUpState: warmUpState{Source: source, Provider: key.provider}}
		w.all[key] = one
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.schedule = c.schedule
	return one
}

// list returns those of new sources, ordered by source and provider.
func (w *warmUps) list() []*warmUp {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*warmUp
	for key, one := range w.all {
		if w.fresh[key.source] {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b *warmUp) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Provider, b.Provider))
	})
	return list
}

// WarmUp is how far a new source has come with one provider.
type WarmUp struct {
	// Source, and the Provider's name; "others" stands for all sites without
	// one.
	Source, Provider string
	// Step of Steps of the schedule, from 1; Warm when it is done with.
	Step, Steps int
	Warm        bool
	// Cap of today, what was Sent of it, and what of that was Deferred and what
	// came in as Complaints.
	Cap, Sent, Deferred, Complaints int
	// Words say all this, and what comes next.
	Words string
}

// WarmUps returns how far the new sources have come, ordered by source and
// provider.
func (s *Shaper) WarmUps(now time.Time) []WarmUp {
	var all []WarmUp
	for _, one := range s.warmUps.list() {
		all = append(all, one.describe(now))
	}
	return all
}

// Describe returns the Words of WarmUps, one line for each.
func (s *Shaper) Describe(now time.Time) []string {
	var lines []string
	for _, one := range s.WarmUps(now) {
		lines = append(lines, one.Words)
	}
	return lines
}

func (w *warmUp) describe(now time.Time) WarmUp {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	shown := WarmUp{
		Source: w.Source, Provider: w.Provider, Step: w.Step + 1, Steps: len(w.schedule.Daily), Warm: w.Warm,
		Sent: w.Sent, Deferred: w.Deferred, Complaints: w.Complaints,
	}
	if !w.Warm {
		shown.Cap = w.schedule.cap(w.Step)
	}
	shown.Words = w.words(shown)
	return shown
}

func (w *warmUp) words(shown WarmUp) string {
	at := fmt.Sprintf("%s at %s: ", shown.Source, shown.Provider)
	switch {
	case shown.Steps == 0:
		return at + "no schedule, no cap"
	case shown.Warm:
		return at + "warm, no cap"
	}
	said := fmt.Sprintf("%sstep %d of %d, %d of %d sent today, %d deferred, %d complaints; ",
		at, shown.Step, shown.Steps, shown.Sent, shown.Cap, shown.Deferred, shown.Complaints)
	switch {
	case w.lifted:
		said += "the cap is lifted for today"
	case w.Fell:
		said += "went back a step today, and does not rise tomorrow"
	case shown.Step == shown.Steps:
		said += "warm tomorrow if it goes on well"
	default:
		said += fmt.Sprintf("%d tomorrow if at least half of today's is used and goes well", w.schedule.cap(w.Step+1))
	}
	return said
}

// Complained counts complaints about mail that a source sent to a site: they
// keep its warm-up from going on.
func (s *Shaper) Complained(now time.Time, source, site string, count int) {
	if count <= 0 {
		return
	}
	c := s.conduct(site)
	if w := s.warmUps.of(source, &c); w != nil {
		w.complained(now, count)
	}
}

// Room says how many messages a source may still send to a site today:
// math.MaxInt where nothing bounds them, none while the site is paused for the
// source. Whoever chooses among the sources of a pool takes one with room, and
// so sends what a new source may not by those that are warm.
func (s *Shaper) Room(now time.Time, source, site string) int {
	if s.sitePaused(now, siteKey{source, site}) {
		return 0
	}
	c := s.conduct(site)
	if w := s.warmUps.of(source, &c); w != nil {
		return w.room(now)
	}
	return math.MaxInt
}
