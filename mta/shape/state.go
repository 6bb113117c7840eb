package shape

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// stateVersion is the version of the form of State.
const stateVersion = 1

// ErrState is wrapped by every error of Import.
var ErrState = errors.New("state of shaping cannot be taken")

// State is what a Shaper has learned and should know again after a restart. It
// is small, and holds no text of any server: replies name addresses.
type State struct {
	Version int           `json:"version"`
	WarmUps []warmUpState `json:"warm_ups,omitempty"`
	Pauses  []pauseState  `json:"pauses,omitempty"`
	Levels  []levelState  `json:"levels,omitempty"`
}

// pauseState is a pause that a rule asked for: of a source at a site, or of a
// tenant or campaign.
type pauseState struct {
	Site     string            `json:"site"`
	Source   string            `json:"source,omitempty"`
	Tenant   string            `json:"tenant,omitempty"`
	Campaign string            `json:"campaign,omitempty"`
	Rule     string            `json:"rule"`
	Reason   string            `json:"reason"`
	Code     int               `json:"code,omitempty"`
	Enhanced mail.EnhancedCode `json:"enhanced,omitzero"`
	Until    time.Time         `json:"until"`
}

// levelState is an allowance that was cut: of the pace or, if Connections, of
// the crowd.
type levelState struct {
	Site        string            `json:"site"`
	Source      string            `json:"source"`
	Connections bool              `json:"connections,omitempty"`
	Level       float64           `json:"level"`
	Ceiling     float64           `json:"ceiling"`
	Top         float64           `json:"top"`
	Hold        time.Duration     `json:"hold"`
	Since       time.Time         `json:"since"`
	Rule        string            `json:"rule,omitempty"`
	Reason      string            `json:"reason"`
	Code        int               `json:"code,omitempty"`
	Enhanced    mail.EnhancedCode `json:"enhanced,omitzero"`
}

// Export returns what is to survive a restart, always in the same order.
func (s *Shaper) Export(now time.Time) State {
	state := State{Version: stateVersion}
	for _, w := range s.warmUps.list() {
		state.WarmUps = append(state.WarmUps, w.state(now))
	}
	s.mu.Lock()
	for _, held := range s.sites {
		held.export(now, &state)
	}
	s.mu.Unlock()
	s.blocks.each(now, func(key blockKey, p pause) {
		shown := p.state(key.site, "")
		shown.Tenant, shown.Campaign = key.tenant, key.campaign
		state.Pauses = append(state.Pauses, shown)
	})
	slices.SortFunc(state.Pauses, func(a, b pauseState) int {
		return cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.Source, b.Source), strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Campaign, b.Campaign))
	})
	slices.SortFunc(state.Levels, func(a, b levelState) int {
		return cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.Source, b.Source), compareBool(a.Connections, b.Connections))
	})
	return state
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (w *warmUp) state(now time.Time) warmUpState {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	return w.warmUpState
}

func (p pause) state(site, source string) pauseState {
	return pauseState{
		Site: site, Source: source, Rule: p.why.rule, Reason: p.why.reason,
		Code: p.why.reply.Code, Enhanced: p.why.reply.Enhanced, Until: p.until,
	}
}

func (s *site) export(now time.Time, state *State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pauses {
		if p.until.After(now) && !p.probed {
			state.Pauses = append(state.Pauses, p.state(s.key.name, s.key.source))
		}
	}
	if s.pace.active(now) {
		state.Levels = append(state.Levels, s.pace.state(s.key, false))
	}
	if s.crowd.active(now) {
		state.Levels = append(state.Levels, s.crowd.state(s.key, true))
	}
}

func (c *climb) state(key siteKey, connections bool) levelState {
	return levelState{
		Site: key.name, Source: key.source, Connections: connections,
		Level: c.level, Ceiling: c.ceiling, Top: c.top, Hold: c.hold, Since: c.since,
		Rule: c.why.rule, Reason: c.why.reason, Code: c.why.reply.Code, Enhanced: c.why.reply.Enhanced,
	}
}

// UnmarshalState reads the JSON of a State; its errors wrap ErrState.
func UnmarshalState(data []byte) (State, error) {
	var state State
	if err := json.Unmarshal(data, &state); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	return state, nil
}

// Import takes a State into a Shaper that was just made. On an error nothing
// was taken. Sources that are not new any more, and what is over, are left out.
func (s *Shaper) Import(now time.Time, state State) error {
	if state.Version != stateVersion {
		return fmt.Errorf("%w: version %d, not %d", ErrState, state.Version, stateVersion)
	}
	for _, l := range state.Levels {
		if !l.sound() {
			return fmt.Errorf("%w: level of %q from %q", ErrState, l.Site, l.Source)
		}
	}
	for _, w := range state.WarmUps {
		if w.Step < 0 || w.Sent < 0 || w.Deferred < 0 || w.Complaints < 0 || w.Before < 0 || w.Day < 0 {
			return fmt.Errorf("%w: warm-up of %q at %q", ErrState, w.Source, w.Provider)
		}
	}
	s.warmUps.restore(now, state.WarmUps)
	for _, p := range state.Pauses {
		s.restorePause(now, p)
	}
	for _, l := range state.Levels {
		s.restoreLevel(now, l)
	}
	return nil
}

// restore takes what is known of warm-ups. A day that has not come yet is one
// of a clock that went back: today goes on instead.
func (w *warmUps) restore(now time.Time, states []warmUpState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, state := range states {
		state.Day = min(state.Day, dayOf(now))
		w.all[warmUpKey{state.Source, state.Provider}] = &warmUp{warmUpState: state}
	}
}

// longestPause is the longest that a file of rules can ask for.
const longestPause = 2 * maxDays * 24 * time.Hour

func (s *Shaper) restorePause(now time.Time, p pauseState) {
	if !p.Until.After(now) || p.Until.Sub(now) > longestPause {
		return
	}
	restored := pause{until: p.Until, why: cause{p.Rule, p.Reason, mail.Reply{Code: p.Code, Enhanced: p.Enhanced}}}
	if p.Tenant != "" {
		s.blocks.add(now, blockKey{p.Site, p.Tenant, p.Campaign}, restored)
		return
	}
	s.remember(p.Source, p.Site, func(held *site) { held.hold(p.Rule, restored) })
}

func (s *Shaper) restoreLevel(now time.Time, l levelState) {
	c := climb{
		level: l.Level, ceiling: l.Ceiling, top: l.Top, hold: l.Hold, since: l.Since, made: now, cuts: 1,
		why: cause{l.Rule, l.Reason, mail.Reply{Code: l.Code, Enhanced: l.Enhanced}},
	}
	if !c.active(now) || c.since.Sub(now) > longestPause {
		return
	}
	s.remember(l.Source, l.Site, func(held *site) {
		if l.Connections {
			c.top = float64(held.conduct.limits.Connections)
			held.crowd = &c
			return
		}
		held.pace = &c
	})
}

// sound reports that the numbers are such as Export makes.
func (l levelState) sound() bool {
	return l.Level > 0 && l.Level <= l.Top && l.Top < 1e9 && l.Ceiling > 0 && l.Ceiling < 1e9 &&
		l.Hold >= 0 && l.Hold <= maxHold
}

func (s *Shaper) remember(source, siteName string, f func(*site)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sites) >= s.options.MaxSites {
		return
	}
	held := s.site(Target{Source: source, Site: siteName})
	held.mu.Lock()
	defer held.mu.Unlock()
	f(held)
}
