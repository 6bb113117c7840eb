package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// TestStats proves what statistics are asked for, and that questions that have
// no answer are refused.
func TestStats(t *testing.T) {
	for query, want := range map[string]api.StatsRequest{
		"": {By: "campaign"},
		"?tenant=a&stream=b&campaign=c&from=2026-03-01&to=2026-03-01&by=link&limit=7": {
			Tenant: "a", Stream: "b", Campaign: "c", From: "2026-03-01", To: "2026-03-01", By: "link", Limit: 7,
		},
	} {
		f := &fake{}
		response, _ := f.ask("GET", "/v1/stats"+query, "")
		if f.asked != want || response.Code != http.StatusOK || !strings.Contains(response.Body.String(), `"day":"2026-03-01"`) {
			t.Errorf("%s: %d %s, asked for %+v", query, response.Code, response.Body, f.asked)
		}
	}
	for query, want := range map[string]string{
		"by=week": "by is not", "from=soon": "from is not a day", "to=2026-02-30": "to is not a day",
		"from=2026-03-02&to=2026-03-01": "from is after to", "limit=-1": "limit is not", "limit=x": "limit is not", "tenat=a": "tenat is none of",
	} {
		f := &fake{}
		response, _ := f.ask("GET", "/v1/stats?"+query, "")
		if response.Code != http.StatusBadRequest || !strings.Contains(response.Body.String(), want) || f.asked != (api.StatsRequest{}) {
			t.Errorf("%s: %d %s", query, response.Code, response.Body)
		}
	}
	f := &fake{err: errBroken}
	if response, _ := f.ask("GET", "/v1/stats", ""); response.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", response.Code, response.Body)
	}
}
