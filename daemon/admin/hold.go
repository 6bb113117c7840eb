package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/queue"
)

func (s *Server) holds(r *http.Request) (any, error) {
	holds, err := s.options.Store.Holds(r.Context())
	if err != nil {
		return nil, err
	}
	all := make([]api.Hold, 0, len(holds))
	for _, h := range holds {
		all = append(all, presentHold(h))
	}
	return all, nil
}

func (s *Server) hold(r *http.Request) (any, error) {
	request, selector, err := decodeChange(r)
	if err != nil {
		return nil, err
	}
	h := queue.Hold{Selector: selector, Reason: request.Reason, Since: time.Now().UTC()}
	if h.ID = queue.NewID(h.Since); h.Reason == "" {
		h.Reason = "held by the operator"
	}
	if err := s.options.Store.Hold(r.Context(), h); err != nil {
		return nil, err
	}
	return presentHold(h), nil
}

func (s *Server) release(r *http.Request) (any, error) {
	id, err := queue.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fail(http.StatusBadRequest, fmt.Sprintf("hold: %v", err))
	}
	n, err := s.options.Store.Release(r.Context(), id)
	return api.Changed{Recipients: n}, err
}

func presentHold(h queue.Hold) api.Hold {
	return api.Hold{ID: h.ID.String(), Reason: h.Reason, Since: h.Since, Selector: PresentSelector(h.Selector)}
}

// PresentSelector is the inverse of what a request's selector is read by.
func PresentSelector(s queue.Selector) api.Selector {
	presented := api.Selector{Tenant: s.Tenant, Stream: s.Stream, Campaign: s.Campaign, Domain: string(s.Domain)}
	if !s.Message.IsZero() {
		presented.Message = s.Message.String()
	}
	if !s.Recipient.IsZero() {
		presented.Recipient = s.Recipient.String()
	}
	return presented
}
