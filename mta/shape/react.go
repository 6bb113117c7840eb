package shape

import (
	"fmt"
	"slices"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Outcome is what became of one recipient.
type Outcome struct {
	// Reply of the server, positive ones included; zero where there was none.
	Reply mail.Reply
	// Category of bounce.Category; where it is empty Options.Categorize is asked.
	Category string
	// Tenant and Campaign of the message.
	Tenant, Campaign string
}

// Decision is what a rule makes of a recipient.
type Decision uint8

const (
	// AsClassified: the rules say nothing of it.
	AsClassified Decision = iota
	// Bounce: the recipient ends, although the reply is temporary.
	Bounce
	// Retry: the recipient is tried again, although the reply is permanent.
	Retry
)

// Reaction is what a report led to.
type Reaction struct {
	Decision Decision
	// Rule that acted, as provider/name; empty where none did.
	Rule string
	// Throttle that it put in force or lengthened; zero where it did not.
	Throttle Throttle
}

// Report tells the shaper what became of a recipient, and returns what the
// provider's rules make of it. It is called before the Succeed or Fail of the
// transaction. Recipients who got the same reply in one transaction count
// once.
func (s *Slot) Report(now time.Time, o Outcome) Reaction {
	if o.Reply.IsZero() {
		return Reaction{}
	}
	if o.Category == "" && !o.Reply.Positive() {
		o.Category = s.shaper.options.Categorize(o.Reply)
	}
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if o.Reply.Positive() {
		s.taken = true
		s.site.accepted()
		return Reaction{}
	}
	s.refused = true
	if s.reported == o.Reply {
		return s.reaction
	}
	if aboutSource(o.Reply, o.Category) {
		s.site.warm.deferred(now)
	}
	s.reported, s.reaction = o.Reply, s.react(now, o)
	return s.reaction
}

// react finds the rule for a negative reply and does what it says. The caller
// holds site.mu.
func (s *Slot) react(now time.Time, o Outcome) Reaction {
	var made Reaction
	for _, r := range s.site.conduct.rules {
		if !r.Matches(o.Reply, o.Category) {
			continue
		}
		if made.Decision == AsClassified {
			made.Decision = r.decision()
		}
		action := r.lasting()
		if action == "" {
			made.Rule = r.String()
			return made
		}
		key, ok := countKeyOf(r, action, o)
		if !ok || !s.site.reached(now, r, key) {
			continue
		}
		made.Rule = r.String()
		made.Throttle = s.apply(now, r, action, o)
		return made
	}
	return made
}

func (r *Rule) decision() Decision {
	switch {
	case r.does(BounceRecipient):
		return Bounce
	case r.does(RetryRecipient):
		return Retry
	}
	return AsClassified
}

// apply puts the throttle of a rule in force and returns it.
func (s *Slot) apply(now time.Time, r *Rule, action Action, o Outcome) Throttle {
	why := cause{r.String(), r.Reason, o.Reply}
	p := pause{until: now.Add(r.For), why: why}
	held := s.site
	switch action {
	case SlowDown:
		if s.slowed || !held.slow(now, r.Factor, r.For, why) {
			return Throttle{}
		}
		s.slowed = true
		s.shaper.giveUp(now, held, why)
		return held.showPace(now)
	case FewerConnections:
		s.fewer(now, r, why)
		return held.showCrowd(now)
	case PauseSite:
		held.hold(p.why.rule, p)
		held.shrink()
		return held.showPause(p)
	case PauseTenant:
		key := blockKey{held.key.name, o.Tenant, ""}
		s.shaper.blocks.add(now, key, p)
		return key.show(p)
	default:
		key := blockKey{held.key.name, o.Tenant, o.Campaign}
		s.shaper.blocks.add(now, key, p)
		return key.show(p)
	}
}

// fewer takes connections away: one that was turned away at the door leaves
// those that were let in, another the rule's share.
func (s *Slot) fewer(now time.Time, r *Rule, why cause) {
	held := s.site
	if !s.established && held.established > 0 {
		s.turnedAway(now, r.For, why)
		return
	}
	if held.crowd.active(now) && s.begun.Before(held.crowd.made) {
		return // it was opened before the last cut
	}
	refused := float64(held.connections(now))
	held.crowded(now, refused, refused*r.Factor, r.For, why)
}

// patience is how many cuts of the pace in a row, without a message taken, the
// site gets before it is left alone.
const patience = 5

// probing is how long a site that refused everything is probed before the pace
// grows.
const probing = time.Minute

// giveUp pauses a site that refuses everything, and probes it from then on. The
// caller holds site.mu.
func (s *Shaper) giveUp(now time.Time, held *site, why cause) {
	if held.fruitless <= patience {
		return
	}
	why.reason = "everything is refused: " + why.reason
	wait := s.options.Backoff.pause(held.fruitless-patience, s.options.Random())
	held.hold("", pause{now.Add(wait), why, true})
	held.pace.since = later(held.pace.since, now.Add(wait+probing)) // what follows is a probe
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// countKey is what matches are counted by: the rule, and for pauses of a tenant
// or campaign those too.
type countKey struct {
	rule             *Rule
	tenant, campaign string
}

// countKeyOf returns false for an action on a tenant or campaign where there is
// none.
func countKeyOf(r *Rule, action Action, o Outcome) (countKey, bool) {
	key := countKey{rule: r}
	switch action {
	case PauseTenant:
		key.tenant = o.Tenant
		return key, o.Tenant != ""
	case PauseCampaign:
		key.tenant, key.campaign = o.Tenant, o.Campaign
		return key, o.Campaign != ""
	}
	return key, true
}

// maxCounts bounds what is counted at one site at once.
const maxCounts = 256

// reached counts a match, and reports whether that was the one that the rule
// waits for; counting then begins anew.
func (s *site) reached(now time.Time, r *Rule, key countKey) bool {
	if r.After <= 1 {
		return true
	}
	if len(s.counts) >= maxCounts {
		s.forget(now)
	}
	if s.counts == nil {
		s.counts = map[countKey][]time.Time{}
	}
	times, known := s.counts[key]
	if !known && len(s.counts) >= maxCounts {
		return false
	}
	times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= r.Within })
	if times = append(times, now); len(times) < r.After {
		s.counts[key] = times
		return false
	}
	delete(s.counts, key)
	return true
}

// forget drops the counts whose time is over.
func (s *site) forget(now time.Time) {
	for key, times := range s.counts {
		if now.Sub(times[len(times)-1]) >= key.rule.Within {
			delete(s.counts, key)
		}
	}
}

// share writes a rate for people.
func share(perSecond float64) string {
	switch {
	case perSecond >= 1:
		return fmt.Sprintf("%.1f/s", perSecond)
	case perSecond*60 >= 1:
		return fmt.Sprintf("%.1f/min", perSecond*60)
	}
	return fmt.Sprintf("%.1f/hour", perSecond*3600)
}
