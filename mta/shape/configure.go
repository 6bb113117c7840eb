package shape

import "time"

// Configure puts other limits and rules in force, at once and for every site:
// Default, Providers, Sites and Warming of options are taken, the rest stays as
// New was told. Connections beyond a lower limit are not cut; they are not
// replaced when they end. What was learned is kept.
func (s *Shaper) Configure(options Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	options = options.withDefaults()
	s.conducts = options.conducts()
	s.warmUps.configure(options.Warming)
	for key, held := range s.sites {
		held.configure(s.conducts.of(key.name, held.anyRoute()), &s.warmUps)
	}
}

// anyRoute returns the name of a route, from which the provider can be told.
func (s *site) anyRoute() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.routes {
		return name
	}
	return ""
}

// configure changes limits and rules and keeps what was learned: a route that
// had its full share of connections has it still, one that had been cut back
// stays so.
func (s *site) configure(c conduct, all *warmUps) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := float64(c.limits.Connections)
	for _, r := range s.routes {
		if int(r.window) >= s.conduct.limits.Connections {
			r.window = limit
		}
		r.window = min(r.window, limit)
	}
	s.conduct, s.warm, s.counts = c, all.of(s.key.source, &c), nil
	if s.crowd != nil {
		s.crowd.top = limit
	}
	if rate := c.limits.Rate.perSecond(); rate > 0 && s.pace != nil {
		s.pace.top = rate
	}
	s.meter(time.Time{})
}
