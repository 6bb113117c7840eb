package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Consents say what readers allow to be measured. Errors that lie in a request
// are *api.Error.
type Consents interface {
	Check(ctx context.Context, request api.ConsentSelector) (api.ConsentVerdict, error)
	Set(ctx context.Context, c api.Consent) (api.Consent, error)
	Remove(ctx context.Context, request api.ConsentSelector) (removed bool, err error)
	List(ctx context.Context, request api.ConsentListRequest) (api.ConsentPage, error)
	Unopened(ctx context.Context, request api.UnopenedRequest) (api.Unopened, error)
}

func (s *Server) checkConsent(r *http.Request) (any, error) {
	request, err := decode[api.ConsentSelector](r)
	if err != nil {
		return nil, err
	}
	return s.options.Consents.Check(r.Context(), request)
}

func (s *Server) setConsent(r *http.Request) (any, error) {
	request, err := decode[api.Consent](r)
	if err != nil {
		return nil, err
	}
	return s.options.Consents.Set(r.Context(), request)
}

func (s *Server) removeConsent(r *http.Request) (any, error) {
	request, err := decode[api.ConsentSelector](r)
	if err != nil {
		return nil, err
	}
	removed, err := s.options.Consents.Remove(r.Context(), request)
	return api.ConsentRemoved{Removed: removed}, err
}

func (s *Server) consents(r *http.Request) (any, error) {
	request, err := decode[api.ConsentListRequest](r)
	if err != nil {
		return nil, err
	}
	if request.Limit, err = pageLimit(request.Limit); err != nil {
		return nil, err
	}
	return s.options.Consents.List(r.Context(), request)
}

// maxAddresses bounds a question about many readers.
const maxAddresses = 1000

func (s *Server) unopened(r *http.Request) (any, error) {
	request, err := decode[api.UnopenedRequest](r)
	if err != nil {
		return nil, err
	}
	if len(request.Addresses) > maxAddresses {
		return nil, fail(http.StatusBadRequest, fmt.Sprintf("more than %d addresses", maxAddresses))
	}
	return s.options.Consents.Unopened(r.Context(), request)
}
