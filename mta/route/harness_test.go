package route_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

func startDNS(t *testing.T, records ...string) *testmx.DNS {
	t.Helper()
	server, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.Add(records...); err != nil {
		t.Fatal(err)
	}
	return server
}

func newRouter(t *testing.T, server *testmx.DNS, change func(*route.Options)) *route.Router {
	t.Helper()
	options := route.Options{
		Resolver: []string{server.Addr()},
		Timeouts: route.Timeouts{Query: 400 * time.Millisecond, Total: 5 * time.Second},
	}
	if change != nil {
		change(&options)
	}
	router, err := route.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	return router
}

// hosts writes a route as name/preference=address,address words.
func hosts(r *route.Route) []string {
	var words []string
	for _, h := range r.Hosts {
		word := fmt.Sprintf("%s/%d=", h.Name, h.Preference)
		for i, addr := range h.Addrs {
			if i > 0 {
				word += ","
			}
			word += addr.String()
		}
		words = append(words, word)
	}
	return words
}

func lookUp(t *testing.T, router *route.Router, domain string) (*route.Route, error) {
	t.Helper()
	parsed, err := mail.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	return router.Route(t.Context(), parsed)
}

func mustRoute(t *testing.T, router *route.Router, domain string) *route.Route {
	t.Helper()
	found, err := lookUp(t, router, domain)
	if err != nil {
		t.Fatalf("%s: %v", domain, err)
	}
	return found
}

func wantFailure(t *testing.T, router *route.Router, domain string, cause error, code int, enhanced string) {
	t.Helper()
	_, err := lookUp(t, router, domain)
	var failure *route.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%s: error %v (%T), want a *route.Error", domain, err, err)
	}
	if !errors.Is(err, cause) || failure.Reply.Code != code || failure.Reply.Enhanced.String() != enhanced {
		t.Errorf("%s: %v with %v, want %v with %d %s", domain, err, failure.Reply, cause, code, enhanced)
	}
}
