package admin

// LimitRequests makes the largest request smaller.
func (s *Server) LimitRequests(octets int64) { s.maxRequest = octets }
