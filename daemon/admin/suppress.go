package admin

import (
	"context"
	"io"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Suppressions say who is not mailed. Errors that lie in a request are
// *api.Error.
type Suppressions interface {
	Check(ctx context.Context, request api.SuppressionCheck) (api.SuppressionVerdict, error)
	Add(ctx context.Context, s api.Suppression) (added bool, err error)
	Remove(ctx context.Context, s api.SuppressionSelector) ([]api.Suppression, error)
	List(ctx context.Context, request api.SuppressionListRequest) (api.SuppressionPage, error)
	Import(ctx context.Context, i api.SuppressionImport, list io.Reader) (api.SuppressionsImported, error)
	Export(ctx context.Context, request api.SuppressionExport, w io.Writer) error
}

func (s *Server) checkSuppression(r *http.Request) (any, error) {
	request, err := decode[api.SuppressionCheck](r)
	if err != nil {
		return nil, err
	}
	return s.options.Suppressions.Check(r.Context(), request)
}

func (s *Server) suppress(r *http.Request) (any, error) {
	request, err := decode[api.Suppression](r)
	if err != nil {
		return nil, err
	}
	added, err := s.options.Suppressions.Add(r.Context(), request)
	return api.SuppressionAdded{Added: added}, err
}

func (s *Server) unsuppress(r *http.Request) (any, error) {
	request, err := decode[api.SuppressionSelector](r)
	if err != nil {
		return nil, err
	}
	removed, err := s.options.Suppressions.Remove(r.Context(), request)
	return api.SuppressionsRemoved{Suppressions: removed}, err
}

func (s *Server) suppressions(r *http.Request) (any, error) {
	request, err := decode[api.SuppressionListRequest](r)
	if err != nil {
		return nil, err
	}
	if request.Limit, err = pageLimit(request.Limit); err != nil {
		return nil, err
	}
	return s.options.Suppressions.List(r.Context(), request)
}

// importSuppressions reads a list as it comes.
func (s *Server) importSuppressions(r *http.Request) (any, error) {
	query := r.URL.Query()
	imported, err := s.options.Suppressions.Import(r.Context(), api.SuppressionImport{
		Format: query.Get("format"), Tenant: query.Get("tenant"), Stream: query.Get("stream"), Reason: query.Get("reason"),
	}, r.Body)
	if err != nil {
		// The client hears of it only once it has sent all.
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return imported, err
}

// exportSuppressions streams a list.
func (s *Server) exportSuppressions(w http.ResponseWriter, r *http.Request) {
	request, err := decode[api.SuppressionExport](r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if request.Format == "csv" {
		w.Header().Set("Content-Type", "text/csv")
	}
	list := s.stream(w)
	list.end(r, s.options.Suppressions.Export(r.Context(), request, list))
}
