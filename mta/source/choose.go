package source

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Request asks for a source for one recipient of a message.
type Request struct {
	Tenant, Stream string
	// Pool that the message names; empty if it names none.
	Pool string
	// Diverted says that the operator chose the pool, whoever may name it.
	Diverted bool
	// Site that it goes to.
	Site string
	// Message and Recipient, which is the recipient's place in the message,
	// are the same at every attempt.
	Message   string
	Recipient int
	// Reach are the families of the site's addresses; zero for both.
	Reach Families
	// Preference is the site's.
	Preference Preference
	// Full says of a source that another is to be taken if one can be, since it
	// has enough to do or cannot send to the site for now; nil for never.
	Full func(source string) bool
}

// families returns what the site and its preference leave.
func (r *Request) families() Families {
	if r.Reach == 0 {
		return r.Preference.allows()
	}
	return r.Reach & r.Preference.allows()
}

// Choose returns where a message leaves from. The error is an *Error: there is
// no source for it now.
//
// Of the sources that can, every message has its own order. What cannot leave
// from the first leaves from the next that is not being warmed up, and only
// then from one that is.
func (s *Set) Choose(now time.Time, r Request) (Choice, error) { return s.choose(now, &r, true) }

// Look returns what Choose would, for one who is not going to send: it takes no
// probe.
func (s *Set) Look(now time.Time, r Request) (Choice, error) { return s.choose(now, &r, false) }

func (s *Set) choose(now time.Time, r *Request, claim bool) (Choice, error) {
	t := s.table.Load()
	p, err := t.find(r)
	if err != nil {
		return Choice{}, err
	}
	var space [16]ranked
	order := p.rank(space[:0], r, s.options.Block)
	for pass := range passes {
		for i := range order {
			of := order[i].source
			if s.pass(i, of, r) != pass {
				continue
			}
			if verdict := s.judge(now, of, r, claim); verdict.Reason == "" {
				return Choice{*of, p.name, verdict.Families, verdict.probe, r.Preference}, nil
			}
		}
	}
	return Choice{}, s.exhausted(now, p, r)
}

// passes are the goes over a message's order: those that can, those that are
// being warmed up, and those that have enough to do.
const passes = 3

func (s *Set) pass(place int, of *Source, r *Request) int {
	switch {
	case r.Full != nil && r.Full(of.Name):
		return 2
	case place > 0 && s.options.Warming(of.Name, r.Site):
		return 1
	}
	return 0
}

// Candidates returns the sources of the message's pool in the order of the
// configuration, with what keeps each from being chosen now. It chooses none.
func (s *Set) Candidates(now time.Time, r Request) ([]Candidate, error) {
	p, err := s.table.Load().find(&r)
	if err != nil {
		return nil, err
	}
	return s.candidates(now, p, &r), nil
}

func (s *Set) candidates(now time.Time, p *pool, r *Request) []Candidate {
	var total float64
	for _, m := range p.members {
		total += m.weight
	}
	all := make([]Candidate, len(p.members))
	for i, m := range p.members {
		all[i] = s.judge(now, m.source, r, false).Candidate
		all[i].Share = m.weight / total
	}
	return all
}

func (t *table) find(r *Request) (*pool, error) {
	name := t.poolOf(r.Tenant, r.Stream, r.Pool)
	p := t.pools[name]
	if p == nil || r.Pool != "" && !r.Diverted && !t.mayUse(r.Tenant, name) {
		return nil, &Error{Pool: name, Site: r.Site, Err: ErrNoPool}
	}
	return p, nil
}

// verdict is a candidate and whether it was given a probe.
type verdict struct {
	Candidate
	probe bool
}

// judge says whether a source may be used now. With claim, a probe that is due
// is taken.
func (s *Set) judge(now time.Time, of *Source, r *Request, claim bool) verdict {
	v := verdict{Candidate: Candidate{Source: *of}}
	wanted := r.families()
	can := wanted & of.Speaks()
	switch {
	case wanted == 0:
		v.Reason = "the site has no address that may be used"
		return v
	case can == 0:
		v.Reason = "it has no " + wanted.String() + " address"
		return v
	case !s.options.Room(of.Name, r.Site):
		v.Reason = "its warm-up allows no more for now"
		return v
	}
	v.Families = can
	if s.suspended.Load() > 0 {
		s.suspensionsOf(now, &v, r.Site, claim)
	}
	return v
}

// ranked is a member in a message's order.
type ranked struct {
	source *Source
	score  float64
}

// rank orders the members for a message: by an exponential variate of their
// weight each, of which the least belongs to a member as often as its weight
// says.
func (p *pool) rank(space []ranked, r *Request, block int) []ranked {
	if len(p.members) == 1 {
		return append(space, ranked{p.members[0].source, 0})
	}
	h := hashString(hashSeed, r.Message)
	h = hashString(mix(h^uint64(max(r.Recipient, 0)/block)), r.Site)
	for _, m := range p.members {
		uniform := (float64(mix(h^m.hash)>>11) + 0.5) / (1 << 53)
		space = append(space, ranked{m.source, -math.Log(uniform) / m.weight})
	}
	slices.SortFunc(space, func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
	return space
}

// hashSeed and the prime are those of FNV-1a. The hash decides where mail
// leaves: one that changes from build to build would send retries from
// elsewhere.
const (
	hashSeed  uint64 = 14695981039346656037
	hashPrime uint64 = 1099511628211
)

func hashString(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * hashPrime
	}
	return mix(h)
}

// mix spreads every bit over all (the finaliser of SplitMix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
