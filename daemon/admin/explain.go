package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// Delivery is what the operator asks of what sends mail.
type Delivery interface {
	// Sites returns the destination sites in use.
	Sites() []api.Site
	// Site returns one; false where it has no mail, no throttle and no limits
	// of its own.
	Site(name string) (api.SiteDetail, bool)
	// Throttles returns all that are in force.
	Throttles() []api.Throttle
	// Lift ends the throttles of that name at a site, all where it is empty,
	// and returns how many there were.
	Lift(site, name string) int
	// Why completes what an entry of the queue waits for.
	Why(ctx context.Context, e *queue.Entry, why *api.Why)
	// Route says how mail for a domain leaves.
	Route(ctx context.Context, domain mail.Domain) api.Route
}

func (s *Server) sites(*http.Request) (any, error) { return s.options.Delivery.Sites(), nil }

func (s *Server) site(r *http.Request) (any, error) {
	name := strings.ToLower(r.PathValue("site"))
	detail, ok := s.options.Delivery.Site(name)
	if !ok {
		return nil, fail(http.StatusNotFound, fmt.Sprintf("no mail is due to a site %q, and nothing is known of it", name))
	}
	return detail, nil
}

func (s *Server) throttles(*http.Request) (any, error) { return s.options.Delivery.Throttles(), nil }

func (s *Server) lift(r *http.Request) (any, error) {
	request, err := decode[api.LiftRequest](r)
	if err != nil {
		return nil, err
	}
	lifted := s.options.Delivery.Lift(strings.ToLower(request.Site), request.Name)
	switch {
	case lifted > 0:
		return api.Lifted{Throttles: lifted}, nil
	case request.Name != "":
		return nil, fail(http.StatusNotFound, fmt.Sprintf("no throttle %q is in force at site %q", request.Name, request.Site))
	}
	return nil, fail(http.StatusNotFound, fmt.Sprintf("no throttle is in force at site %q", request.Site))
}

func (s *Server) why(r *http.Request) (any, error) {
	entries, next, err := s.list(r)
	if err != nil {
		return nil, err
	}
	page := api.WhyPage{Recipients: []api.Why{}, Next: next}
	for i := range entries {
		why := api.Why{Recipient: present(&entries[i])}
		s.options.Delivery.Why(r.Context(), &entries[i], &why)
		page.Recipients = append(page.Recipients, why)
	}
	return page, nil
}

func (s *Server) route(r *http.Request) (any, error) {
	request, err := decode[api.RouteRequest](r)
	if err != nil {
		return nil, err
	}
	domain, err := destination(request.Destination)
	if err != nil {
		return nil, fail(http.StatusBadRequest, err.Error())
	}
	return s.options.Delivery.Route(r.Context(), domain), nil
}

// destination reads an address or a domain.
func destination(text string) (mail.Domain, error) {
	if strings.Contains(text, "@") {
		address, err := mail.ParseAddress(text)
		return address.Domain(), err
	}
	return mail.ParseDomain(text)
}
