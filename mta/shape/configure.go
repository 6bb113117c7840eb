package shape

// Configure puts other limits in force, at once and for every site: Default
// and Sites of options are taken, the rest stays as New was told. Connections
// beyond a lower limit are not cut; they are not replaced when they end.
func (s *Shaper) Configure(options Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	options = options.withDefaults()
	s.limits = options.table()
	for key, held := range s.sites {
		held.configure(s.limits.of(key.name))
	}
}

// configure changes the limits and keeps what was learned: a route that had
// its full share of connections has it still, one that had been cut back
// stays so.
func (s *site) configure(limits Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routes {
		if int(r.window) == s.limits.Connections {
			r.window = float64(limits.Connections)
		}
		r.window = min(r.window, float64(limits.Connections))
	}
	next := s.rate.next
	s.limits, s.rate = limits, newMeter(limits.Rate)
	s.rate.next = next
}
