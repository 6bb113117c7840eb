package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Statistics is what the operator asks of what was counted.
type Statistics interface {
	// Report answers a request whose days and group are sound.
	Report(ctx context.Context, request api.StatsRequest) (api.Stats, error)
}

func (s *Server) stats(r *http.Request) (any, error) {
	known := []string{"tenant", "stream", "campaign", "from", "to", "by", "limit"}
	values := r.URL.Query()
	for name := range values {
		if !slices.Contains(known, name) {
			return nil, fail(http.StatusBadRequest, fmt.Sprintf("%s is none of %s", name, strings.Join(known, ", ")))
		}
	}
	request := api.StatsRequest{
		Tenant: values.Get("tenant"), Stream: values.Get("stream"), Campaign: values.Get("campaign"),
		From: values.Get("from"), To: values.Get("to"), By: values.Get("by"),
	}
	if err := checkStats(&request); err != nil {
		return nil, err
	}
	if limit := values.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return nil, fail(http.StatusBadRequest, "limit is not a number of rows")
		}
		request.Limit = n
	}
	return s.options.Statistics.Report(r.Context(), request)
}

func checkStats(request *api.StatsRequest) error {
	for name, value := range map[string]string{"from": request.From, "to": request.To} {
		if _, err := time.Parse(time.DateOnly, value); value != "" && err != nil {
			return fail(http.StatusBadRequest, name+" is not a day such as 2026-03-01")
		}
	}
	if request.From != "" && request.To != "" && request.From > request.To {
		return fail(http.StatusBadRequest, "from is after to")
	}
	switch request.By {
	case "":
		request.By = "campaign"
	case "tenant", "stream", "campaign", "day", "link":
	default:
		return fail(http.StatusBadRequest, "by is not tenant, stream, campaign, day or link")
	}
	return nil
}
