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
	presented := api.Hold{ID: h.ID.String(), Reason: h.Reason, Since: h.Since, Selector: api.Selector{
		Tenant: h.Selector.Tenant, Stream: h.Selector.Stream, Campaign: h.Selector.Campaign, Domain: string(h.Selector.Domain),
	}}
	if !h.Selector.Message.IsZero() {
		presented.Selector.Message = h.Selector.Message.String()
	}
	if !h.Selector.Recipient.IsZero() {
		presented.Selector.Recipient = h.Selector.Recipient.String()
	}
	return presented
}
