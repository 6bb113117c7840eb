package hit

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	// agentOctets is how much of an agent's name is looked at: longer ones are
	// no browser's, and cost whoever reads them.
	agentOctets = 512
	// agentSlots is how many verdicts on agents are kept. Readers have few
	// different ones, and what is not kept is worked out again.
	agentSlots = 1024
)

// agents says what User-Agent fields tell. It keeps verdicts, since there are
// dozens of rules, each in the place that the hash of the name gives it.
type agents struct {
	rules []agentRule
	seed  maphash.Seed
	known [agentSlots]atomic.Pointer[agentVerdict]
}

type agentVerdict struct {
	agent       string
	open, click Reason
}

func newAgents() *agents { return &agents{rules: agentRules(), seed: maphash.MakeSeed()} }

// reason is safe for concurrent use.
func (a *agents) reason(kind Kind, agent string) Reason {
	agent = agent[:min(len(agent), agentOctets)]
	place := &a.known[maphash.String(a.seed, agent)%agentSlots]
	v := place.Load()
	if v == nil || v.agent != agent {
		v = &agentVerdict{strings.Clone(agent), a.decide(Open, agent), a.decide(Click, agent)}
		place.Store(v)
	}
	if kind == Open {
		return v.open
	}
	return v.click
}

func (a *agents) decide(kind Kind, agent string) Reason {
	if i := a.rule(kind, agent); i >= 0 {
		return a.rules[i].reason
	}
	if strings.TrimSpace(agent) == "" {
		return NoAgent
	}
	return Human
}

// rule is the place of the rule that decides, -1 where none does.
func (a *agents) rule(kind Kind, agent string) int {
	agent = strings.ToLower(strings.TrimSpace(agent))
	for i := range a.rules {
		if r := &a.rules[i]; r.kinds.include(kind) && r.place.has(agent, r.text) {
			return i
		}
	}
	return -1
}

func (p place) has(agent, text string) bool {
	switch p {
	case first:
		return strings.HasPrefix(agent, text)
	case whole:
		return agent == text
	default:
		return strings.Contains(agent, text)
	}
}
