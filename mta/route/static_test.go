package route_test

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
)

func TestStaticRoutes(t *testing.T) {
	server := startDNS(t, "relay.example. 60 IN A 198.51.100.1", "dns.example. 60 IN A 198.51.100.2")
	router := newRouter(t, server, func(o *route.Options) {
		o.Static = []route.Static{
			{Match: "*", Hosts: []string{"relay.example:587"}, Relay: route.Relay{Username: "u", TLS: mail.TLSVerified}},
			{Match: ".example.com", Hosts: []string{"127.0.0.1:2525"}},
			{Match: "Deep.Example.COM", Hosts: []string{"[::1]:2526", "gone.example:25", "198.51.100.9"}},
			{Match: ".sub.example.com", Hosts: []string{"localhost:2527"}},
			{Match: "[192.0.2.1]", Hosts: []string{"::1"}},
		}
	})
	for _, tc := range []struct{ domain, site, hosts string }{
		{"other.example", "relay.example:587", "relay.example/0=198.51.100.1:587"},
		{"example.com", "relay.example:587", "relay.example/0=198.51.100.1:587"},
		{"a.example.com", "127.0.0.1:2525", "127.0.0.1/0=127.0.0.1:2525"},
		{"a.b.example.com", "127.0.0.1:2525", "127.0.0.1/0=127.0.0.1:2525"},
		{"notexample.com", "relay.example:587", "relay.example/0=198.51.100.1:587"},
		{"deep.example.com", "[::1]:2526", "::1/0=[::1]:2526 198.51.100.9/2=198.51.100.9:25"},
		{"x.sub.example.com", "localhost:2527", "localhost/0=127.0.0.1:2527,[::1]:2527"},
		{"[192.0.2.1]", "[::1]:25", "::1/0=[::1]:25"},
	} {
		found := mustRoute(t, router, tc.domain)
		if got := strings.Join(hosts(found), " "); got != tc.hosts || found.Site != tc.site || found.Relay == nil {
			t.Errorf("%s: site %s, %s\nwant site %s, %s", tc.domain, found.Site, got, tc.site, tc.hosts)
		}
	}
	relay := mustRoute(t, router, "other.example").Relay
	if relay.Username != "u" || relay.TLS != mail.TLSVerified {
		t.Errorf("relay %+v", relay)
	}
}

func TestRelaysThatDifferInPortShareNoConnection(t *testing.T) {
	router := newRouter(t, startDNS(t), func(o *route.Options) {
		o.Static = []route.Static{
			{Match: "a.example", Hosts: []string{"127.0.0.1:2525"}},
			{Match: "b.example", Hosts: []string{"127.0.0.1:2526"}},
		}
	})
	if a, b := mustRoute(t, router, "a.example"), mustRoute(t, router, "b.example"); a.Key() == b.Key() {
		t.Errorf("both are %q", a.Key())
	}
}

func TestStaticHostThatDoesNotResolve(t *testing.T) {
	// The operator's mistake must not bounce anybody's mail.
	server := startDNS(t)
	router := newRouter(t, server, func(o *route.Options) {
		o.Static = []route.Static{{Match: "*", Hosts: []string{"gone.example"}}}
	})
	wantFailure(t, router, "a.example", route.ErrResolver, 451, "4.4.3")
}

func TestBadOptions(t *testing.T) {
	static := func(match string, hosts ...string) route.Options {
		return route.Options{Resolver: []string{"127.0.0.1"}, Static: []route.Static{{Match: match, Hosts: hosts}}}
	}
	for name, options := range map[string]route.Options{
		"match":         static("a b", "127.0.0.1:25"),
		"empty match":   static("", "127.0.0.1:25"),
		"dot":           static(".", "127.0.0.1:25"),
		"no host":       static("a.example"),
		"port":          static("a.example", "127.0.0.1:0"),
		"port number":   static("a.example", "127.0.0.1:smtp"),
		"large port":    static("a.example", "mx.example:65536"),
		"host":          static("a.example", "-x-:25"),
		"twice":         {Resolver: []string{"::1"}, Static: []route.Static{{Match: "a.b", Hosts: []string{"h"}}, {Match: "A.b.", Hosts: []string{"h"}}}},
		"resolver":      {Resolver: []string{"dns.example"}},
		"resolver port": {Resolver: []string{"127.0.0.1:0"}},
	} {
		if router, err := route.New(options); err == nil {
			router.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
