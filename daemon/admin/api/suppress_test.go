package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// TestSuppressionRequests proves what goes over the wire, and that no address
// is in a URL.
func TestSuppressionRequests(t *testing.T) {
	var got string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.String() + " " + string(body)
		_, _ = io.WriteString(w, "{}")
	})
	ctx := context.Background()
	only := func(_ any, err error) error { return err }
	for want, call := range map[string]func() error{
		`POST /v1/suppressions/check {"tenant":"t","address":"a@b"}`: func() error {
			return only(c.CheckSuppression(ctx, api.SuppressionCheck{Tenant: "t", Address: "a@b"}))
		},
		`POST /v1/suppressions {"tenant":"t","hash":"x","reason":""}`: func() error {
			return only(c.Suppress(ctx, api.Suppression{Tenant: "t", Hash: "x"}))
		},
		`POST /v1/suppressions/remove {"tenant":"t","address":"a@b"}`: func() error {
			return only(c.Unsuppress(ctx, api.SuppressionSelector{Tenant: "t", Address: "a@b"}))
		},
		`POST /v1/suppressions/list {"selector":{"reason":"r"},"limit":7}`: func() error {
			return only(c.Suppressions(ctx, api.SuppressionListRequest{Selector: api.SuppressionSelector{Reason: "r"}, Limit: 7}))
		},
		`POST /v1/suppressions/import?format=csv&reason=r&stream=s+t&tenant=%2A a@b` + "\n": func() error {
			return only(c.ImportSuppressions(ctx, api.SuppressionImport{Format: "csv", Tenant: "*", Stream: "s t", Reason: "r"}, strings.NewReader("a@b\n")))
		},
		`POST /v1/suppressions/export {"format":"csv","selector":{}}`: func() error {
			return c.ExportSuppressions(ctx, api.SuppressionExport{Format: "csv"}, io.Discard)
		},
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
		}
	}
	cut := client(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "address\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := cut.ExportSuppressions(ctx, api.SuppressionExport{}, io.Discard); !errors.Is(err, api.ErrCut) {
		t.Error(err)
	}
}
