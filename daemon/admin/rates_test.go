package admin_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestRates proves what rates are asked for, and that a slip of the keyboard is
// told.
func TestRates(t *testing.T) {
	for query, want := range map[string]string{"": "", "?tenant=shop": "shop"} {
		f := &fake{reason: "nothing was asked"}
		response, _ := f.ask("GET", "/v1/rates"+query, "")
		if response.Code != http.StatusOK || f.reason != want || !strings.Contains(response.Body.String(), `"tenant":"shop","state":"ok"`) {
			t.Errorf("%s: %d %s, asked for %q", query, response.Code, response.Body, f.reason)
		}
	}
	f := &fake{}
	if response, _ := f.ask("GET", "/v1/rates?tenat=shop", ""); response.Code != http.StatusBadRequest {
		t.Errorf("%d %s", response.Code, response.Body)
	}
	f.err = errBroken
	if response, _ := f.ask("GET", "/v1/rates", ""); response.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", response.Code, response.Body)
	}
}
