package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Rates is what the operator asks of bounces and complaints.
type Rates interface {
	// Rates returns those of a tenant, of all where it is empty.
	Rates(ctx context.Context, tenant string) (api.Rates, error)
}

func (s *Server) rates(r *http.Request) (any, error) {
	values := r.URL.Query()
	for name := range values {
		if name != "tenant" {
			return nil, fail(http.StatusBadRequest, fmt.Sprintf("%s is not tenant", name))
		}
	}
	return s.options.Rates.Rates(r.Context(), values.Get("tenant"))
}
