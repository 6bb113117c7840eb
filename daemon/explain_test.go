package daemon

import (
	"errors"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
)

// TestRouteIsThatOfTheMail proves that mail which waives policies is told the
// way it would take where they leave none to others, and nobody else is.
func TestRouteIsThatOfTheMail(t *testing.T) {
	host := func(name string) route.Host { return route.Host{Name: name, Preference: 10} }
	barred := &route.Route{Site: "mx.example", Barred: []route.Host{host("mx.example")}}
	failure := &route.Error{
		Domain: "strict.example", Barred: barred, Err: errors.New("no host is in the policy"),
		Reply: mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 5}, Text: "no host is in the policy"},
	}
	wayLess := &route.Error{Domain: "gone.example", Err: route.ErrNoDomain, Reply: mail.Reply{Code: 550, Text: "gone"}}
	for _, c := range []struct {
		name   string
		found  *route.Route
		err    error
		demand route.Demand
		host   string
		fails  string
	}{
		{"policies leave none", nil, failure, route.Demand{}, "", "451 4.7.5 no host is in the policy"},
		{"waived", nil, failure, route.Demand{Waive: true}, "mx.example", ""},
		{"TLS is required all the same", nil, failure, route.Demand{Waive: true, RequireTLS: true}, "", "451 4.7.5 no host is in the policy"},
		{"nothing to waive", nil, wayLess, route.Demand{Waive: true}, "", "550 gone"},
		{"another error", nil, errors.New("resolver is closed"), route.Demand{Waive: true}, "", "resolver is closed"},
		{"a route", &route.Route{Site: "mx.example", Hosts: []route.Host{host("mx.example")}}, nil, route.Demand{}, "mx.example", ""},
	} {
		got := presentRoute(c.found, c.err, c.demand)
		if got.Error != c.fails || got.Permanent != (c.fails == "550 gone") {
			t.Errorf("%s: fails with %q, %t", c.name, got.Error, got.Permanent)
		}
		if len(got.Hosts) > 1 || c.host != "" && (len(got.Hosts) == 0 || got.Hosts[0].Name != c.host || got.Site != c.host) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
