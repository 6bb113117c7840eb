package admin_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/privacy"
	"github.com/postrider-mta/postrider/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

// fake is everything that the server asks. err, where set, is every answer.
type fake struct {
	err      error
	fault    error
	queues   []queue.Status
	entries  []queue.Entry
	next     string
	selector queue.Selector
	holds    []queue.Hold
	reason   string
	limit    int
	records  []event.Record
	after    uint64
	// follow, where set, is Follow after the records.
	follow  func(ctx context.Context) error
	export  []person.Record
	subject person.Subject
	to      mail.Address
	sent    api.SendRequest
	asked   api.StatsRequest
	reloads int
	log     strings.Builder
}

func (f *fake) Queues(context.Context) ([]queue.Status, error) { return f.queues, f.err }

func (f *fake) List(_ context.Context, s queue.Selector, after string, limit int) ([]queue.Entry, string, error) {
	f.selector, f.reason, f.limit = s, after, limit
	return f.entries, f.next, f.err
}

func (f *fake) Cancel(_ context.Context, s queue.Selector, reason string) (int, error) {
	f.selector, f.reason = s, reason
	return 3, f.err
}

func (f *fake) Retry(_ context.Context, s queue.Selector) (int, error) {
	f.selector = s
	return 2, f.err
}

func (f *fake) Sites() []api.Site { return []api.Site{{Site: "mx.example.net", Connections: 2}} }

func (f *fake) Site(name string) (api.SiteDetail, bool) {
	return api.SiteDetail{Site: api.Site{Site: name}, MaxConnections: 20}, name == "mx.example.net"
}

func (f *fake) Divert(_ context.Context, s queue.Selector, pool, reason string) (api.Diversion, int, error) {
	f.selector, f.reason = s, reason
	return api.Diversion{ID: "1", Pool: pool, Reason: reason}, 6, f.err
}

func (f *fake) Diversions() []api.Diversion { return []api.Diversion{{ID: "1", Pool: "backup"}} }

func (f *fake) EndDiversion(id queue.ID) error {
	f.reason = id.String()
	return f.err
}

func (f *fake) Trace(_ context.Context, site string, yield func(api.TraceLine) error) error {
	return yield(api.TraceLine{Host: site, Sent: true, Text: "EHLO x"})
}

func (f *fake) Sources() []api.Source { return []api.Source{{Name: "a", EHLO: "a.example"}} }

func (f *fake) LiftSource(name, _ string) int { return len(name) }

func (f *fake) Throttles() []api.Throttle {
	return []api.Throttle{{Site: "mx.example.net", Name: "backoff", Reason: "refused"}}
}

func (f *fake) Lift(site, name string) int {
	if site != "mx.example.net" || name == "other" {
		return 0
	}
	return 2
}

func (f *fake) Why(_ context.Context, entries []queue.Entry, whys []api.Why) {
	for i := range entries {
		whys[i].State, whys[i].Reasons = "due", []string{entries[i].Message.Tenant}
	}
}

func (f *fake) Route(_ context.Context, domain mail.Domain) api.Route {
	return api.Route{Domain: string(domain), Site: "mx.example.net"}
}

func (f *fake) Hold(_ context.Context, h queue.Hold) error {
	f.selector, f.reason = h.Selector, h.Reason
	return f.err
}

func (f *fake) Release(_ context.Context, id queue.ID) (int, error) {
	f.reason = id.String()
	return 4, f.err
}

func (f *fake) Holds(context.Context) ([]queue.Hold, error) { return f.holds, f.err }

func (f *fake) Stats() queue.Stats {
	return queue.Stats{Recipients: 5, Messages: 4, Fault: f.fault}
}

func (f *fake) Position() (uint64, error) { return 77, f.err }

func (f *fake) Read(_ context.Context, after uint64, _ int) ([]event.Record, error) {
	if f.after == 0 {
		f.after = after
	}
	var records []event.Record
	for _, r := range f.records {
		if r.Position > after && len(records) < 2 {
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return nil, f.err
	}
	return records, nil
}

func (f *fake) Follow(ctx context.Context, after uint64, yield func([]event.Record) error) error {
	f.after = after
	if err := yield(f.records); err != nil {
		return err
	}
	return f.follow(ctx)
}

func (f *fake) counts(s person.Subject) ([]privacy.Count, error) {
	f.subject = s
	return []privacy.Count{{Holder: "queue", Count: 1}, {Holder: "events", Count: 2}}, f.err
}

func (f *fake) Find(_ context.Context, s person.Subject) ([]privacy.Count, error) { return f.counts(s) }

func (f *fake) Erase(_ context.Context, s person.Subject) ([]privacy.Count, error) {
	return f.counts(s)
}

func (f *fake) Rectify(_ context.Context, s person.Subject, to mail.Address) ([]privacy.Count, error) {
	f.to = to
	return f.counts(s)
}

func (f *fake) Export(_ context.Context, s person.Subject, yield func(string, person.Record) error) error {
	f.subject = s
	for _, r := range f.export {
		if err := yield("events", r); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fake) Report(_ context.Context, request api.StatsRequest) (api.Stats, error) {
	f.asked = request
	return api.Stats{Rows: []api.StatsRow{{Day: "2026-03-01"}}}, f.err
}

func (f *fake) Rates(_ context.Context, tenant string) (api.Rates, error) {
	f.reason = tenant
	return api.Rates{Rates: []api.Rate{{Level: "tenant", Tenant: "shop", State: "ok"}}}, f.err
}

func (f *fake) server() *admin.Server {
	return admin.New(admin.Options{
		Store: f, Events: f, Privacy: f,
		Delivery: f, Statistics: f, Rates: f,
		TrackingDomains: func() []api.TrackingDomain {
			return []api.TrackingDomain{{
				URL: "https://t.example", Tenants: []string{"shop"}, Status: "working", Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
			}}
		},
		Send: func(_ context.Context, r api.SendRequest) (string, error) {
			f.sent = r
			return "0123456789abcdefghij", f.err
		},
		Reload: func(context.Context) error {
			f.reloads++
			return f.err
		},
		Ready:    func() error { return f.fault },
		Gatherer: prometheus.NewRegistry(), Version: "1.2.3", Started: time.Unix(1_700_000_000, 0).UTC(),
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
}

// ask sends one request to the control handler; aborted reports an answer
// that was broken off.
func (f *fake) ask(method, path, body string) (response *httptest.ResponseRecorder, aborted bool) {
	return ask(f.server().Control(), method, path, body)
}

func ask(h http.Handler, method, path, body string) (response *httptest.ResponseRecorder, aborted bool) {
	response = httptest.NewRecorder()
	defer func() {
		if failure := recover(); failure != nil {
			if failure != http.ErrAbortHandler {
				panic(failure)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(response, httptest.NewRequest(method, path, io.NopCloser(strings.NewReader(body))))
	return response, false
}

func address(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
