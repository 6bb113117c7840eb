package admin

import (
	"cmp"
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
	// Why completes what entries of the queue wait for, one for each.
	Why(ctx context.Context, entries []queue.Entry, whys []api.Why)
	// Trace calls yield for each line exchanged with a site over connections
	// opened from now on.
	Trace(ctx context.Context, site string, yield func(api.TraceLine) error) error
	// Sources returns all, LiftSource ends the suspensions of one, at a site or
	// everywhere, and returns how many there were.
	Sources() []api.Source
	LiftSource(name, site string) int
	// Divert has what is selected leave by another pool, from now on, and makes
	// what waits of it due; it returns how many that are.
	Divert(ctx context.Context, s queue.Selector, pool, reason string) (api.Diversion, int, error)
	// Diversions returns those in force, EndDiversion ends one.
	Diversions() []api.Diversion
	EndDiversion(id queue.ID) error
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
	page := api.WhyPage{Recipients: make([]api.Why, len(entries)), Next: next}
	for i := range entries {
		page.Recipients[i].Recipient = present(&entries[i])
	}
	s.options.Delivery.Why(r.Context(), entries, page.Recipients)
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

func (s *Server) divert(r *http.Request) (any, error) {
	request, err := decode[api.DivertRequest](r)
	if err != nil {
		return nil, err
	}
	selector, err := parseSelector(request.Selector)
	if err != nil {
		return nil, err
	}
	if !selector.Recipient.IsZero() {
		return nil, fail(http.StatusBadRequest, "a diversion cannot name a recipient: name the message, or a domain")
	}
	if selector == (queue.Selector{}) && !request.All {
		return nil, errNothingSelected()
	}
	made, n, err := s.options.Delivery.Divert(r.Context(), selector, request.Pool, cmp.Or(request.Reason, "diverted by the operator"))
	return api.Diverted{Diversion: made, Recipients: n}, err
}

func (s *Server) diversions(*http.Request) (any, error) { return s.options.Delivery.Diversions(), nil }

func (s *Server) endDiversion(r *http.Request) (any, error) {
	id, err := queue.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fail(http.StatusBadRequest, fmt.Sprintf("diversion: %v", err))
	}
	return struct{}{}, s.options.Delivery.EndDiversion(id)
}

// trace streams until the client goes.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	out := s.stream(w)
	out.begin()
	if err := out.flush(); err != nil {
		return // the client has gone
	}
	// Its error is that the client has gone, or the daemon stops.
	_ = s.options.Delivery.Trace(r.Context(), strings.ToLower(r.PathValue("site")), func(line api.TraceLine) error {
		if err := out.write(line); err != nil {
			return err
		}
		return out.flush()
	})
}

func (s *Server) sources(*http.Request) (any, error) { return s.options.Delivery.Sources(), nil }

func (s *Server) liftSource(r *http.Request) (any, error) {
	request, err := decode[api.LiftSourceRequest](r)
	if err != nil {
		return nil, err
	}
	lifted := s.options.Delivery.LiftSource(request.Source, strings.ToLower(request.Site))
	if lifted == 0 {
		return nil, fail(http.StatusNotFound, fmt.Sprintf("source %q is not suspended", request.Source))
	}
	return api.Lifted{Throttles: lifted}, nil
}
