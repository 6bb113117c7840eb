package admin

import "net/http"

func (s *Server) trackingDomains(*http.Request) (any, error) {
	return s.options.TrackingDomains(), nil
}
