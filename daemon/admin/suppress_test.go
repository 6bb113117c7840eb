package admin_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// fakeList is an admin.Suppressions that keeps what it was asked.
type fakeList struct {
	asked string
	err   error
}

func (f *fakeList) one() api.Suppression {
	return api.Suppression{Tenant: "shop", Address: "a@b.example", Reason: "manual", Time: time.Unix(1_700_000_000, 0).UTC()}
}

func (f *fakeList) note(request any) error {
	f.asked = fmt.Sprintf("%+v", request)
	return f.err
}

func (f *fakeList) Check(_ context.Context, r api.SuppressionCheck) (api.SuppressionVerdict, error) {
	return api.SuppressionVerdict{Suppressed: true, Reason: "manual", Suppressions: []api.Suppression{f.one()}}, f.note(r)
}

func (f *fakeList) Add(_ context.Context, s api.Suppression) (bool, error) { return true, f.note(s) }

func (f *fakeList) Remove(_ context.Context, s api.SuppressionSelector) ([]api.Suppression, error) {
	return []api.Suppression{f.one()}, f.note(s)
}

func (f *fakeList) List(_ context.Context, r api.SuppressionListRequest) (api.SuppressionPage, error) {
	return api.SuppressionPage{Suppressions: []api.Suppression{f.one()}, Next: "more"}, f.note(r)
}

func (f *fakeList) Import(_ context.Context, i api.SuppressionImport, list io.Reader) (api.SuppressionsImported, error) {
	if err := f.note(i); err != nil {
		return api.SuppressionsImported{}, err
	}
	n, err := io.Copy(io.Discard, list)
	return api.SuppressionsImported{Added: int(n)}, err
}

// Export fails behind its first octets if it fails.
func (f *fakeList) Export(_ context.Context, r api.SuppressionExport, w io.Writer) error {
	if r.Format == "none" {
		return f.note(r)
	}
	_, err := io.WriteString(w, "address\na@b.example\n")
	if err != nil {
		return err
	}
	return f.note(r)
}

func (f *fakeList) control() http.Handler {
	server := admin.New(admin.Options{Suppressions: f, Logger: slog.New(slog.DiscardHandler)})
	server.LimitRequests(100)
	return server.Control()
}

// TestSuppressionAnswers holds the JSON of each route.
func TestSuppressionAnswers(t *testing.T) {
	const one = `{"tenant":"shop","address":"a@b.example","reason":"manual","time":"2023-11-14T22:13:20Z"}`
	f := &fakeList{}
	for _, test := range []struct{ path, body, want, asked string }{
		{
			"/v1/suppressions", `{"tenant":"shop","address":"a@b.example","reason":"manual"}`, `{"added":true}`,
			"{Tenant:shop Stream: Address:a@b.example Hash: Reason:manual Time:0001-01-01 00:00:00 +0000 UTC Expires:0001-01-01 00:00:00 +0000 UTC Source:}",
		},
		{
			"/v1/suppressions/check", `{"tenant":"shop","address":"a@b.example","stream":"s"}`,
			`{"suppressed":true,"reason":"manual","suppressions":[` + one + `]}`, "{Tenant:shop Address:a@b.example Stream:s}",
		},
		{
			"/v1/suppressions/remove", `{"tenant":"shop","address":"a@b.example","reason":"r"}`, `{"suppressions":[` + one + `]}`,
			"{Tenant:shop Stream: Reason:r Address:a@b.example}",
		},
		{
			"/v1/suppressions/list", `{"selector":{"tenant":"shop"},"after":"x"}`, `{"suppressions":[` + one + `],"next":"more"}`,
			"{Selector:{Tenant:shop Stream: Reason: Address:} After:x Limit:100}",
		},
		{
			"/v1/suppressions/import?format=csv&tenant=shop&stream=s&reason=r", strings.Repeat("x", 1000), `{"added":1000,"known":0}`,
			"{Format:csv Tenant:shop Stream:s Reason:r}",
		},
	} {
		response, aborted := ask(f.control(), "POST", test.path, test.body)
		if got := strings.TrimSpace(response.Body.String()); response.Code != http.StatusOK || aborted || got != test.want || f.asked != test.asked {
			t.Errorf("%s: %d\ngot   %s\nwant  %s\nasked %s\nnot   %s", test.path, response.Code, got, test.want, f.asked, test.asked)
		}
	}
	for body, want := range map[string]int{`{"limit":-1}`: 400, `{"limit":10001}`: 400, `{"colour":1}`: 400, strings.Repeat(" ", 200): 413} {
		if response, _ := ask(f.control(), "POST", "/v1/suppressions/list", body); response.Code != want {
			t.Errorf("%s: %d", body, response.Code)
		}
	}
}

// TestSuppressionExport proves that a list goes out as it is written, and that
// one that is cut short does not look whole.
func TestSuppressionExport(t *testing.T) {
	f := &fakeList{}
	response, aborted := ask(f.control(), "POST", "/v1/suppressions/export", `{"format":"csv","selector":{"tenant":"shop"}}`)
	if response.Body.String() != "address\na@b.example\n" || response.Header().Get("Content-Type") != "text/csv" || aborted {
		t.Errorf("%d %s", response.Code, response.Body)
	}
	f.err = errBroken
	if _, aborted := ask(f.control(), "POST", "/v1/suppressions/export", `{"format":"json"}`); !aborted {
		t.Error("an answer that broke looks whole")
	}
	if response, _ := ask(f.control(), "POST", "/v1/suppressions/export", `{"format":"none"}`); response.Code != http.StatusInternalServerError {
		t.Errorf("%d", response.Code)
	}
	if response, _ := ask(f.control(), "POST", "/v1/suppressions/export", `{`); response.Code != http.StatusBadRequest {
		t.Errorf("%d", response.Code)
	}
	if response, _ := ask(f.control(), "POST", "/v1/suppressions/import", "x"); response.Code != http.StatusInternalServerError {
		t.Errorf("%d", response.Code)
	}
}
