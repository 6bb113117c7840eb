package route_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

func TestRoutesFromDNS(t *testing.T) {
	server := startDNS(t,
		"two.example. 60 IN MX 20 backup.mx.example.", "two.example. 60 IN MX 10 first.mx.example.",
		"first.mx.example. 60 IN A 198.51.100.1", "first.mx.example. 60 IN AAAA 2001:db8::1",
		"backup.mx.example. 60 IN A 198.51.100.2",
		"implicit.example. 60 IN A 198.51.100.3",
		"alias.example. 60 IN CNAME two.example.",
		"aliasedhost.example. 60 IN MX 5 cname.mx.example.", "cname.mx.example. 60 IN CNAME first.mx.example.",
		"skips.example. 60 IN MX 1 gone.mx.example.", "skips.example. 60 IN MX 2 198.51.100.9.",
		`skips.example. 60 IN MX 3 bad\032name.example.`, "skips.example. 60 IN MX 4 backup.mx.example.",
		"nullandmore.example. 60 IN MX 0 .", "nullandmore.example. 60 IN MX 5 backup.mx.example.",
		"upper.example. 60 IN MX 5 BACKUP.MX.EXAMPLE.",
		"twice.example. 60 IN MX 5 backup.mx.example.", "twice.example. 60 IN MX 50 backup.mx.example.",
		"private.example. 60 IN A 10.1.2.3",
		"hosted.example. 60 IN MX 0 hosted-example.mail.protection.provider.co.uk.",
		"hosted-example.mail.protection.provider.co.uk. 60 IN A 198.51.100.7",
	)
	router := newRouter(t, server, func(o *route.Options) { o.Port, o.AllowPrivate = 2525, true })
	for _, tc := range []struct{ domain, site, hosts string }{
		{"two.example", "mx.example", "first.mx.example/10=198.51.100.1:2525,[2001:db8::1]:2525 backup.mx.example/20=198.51.100.2:2525"},
		{"implicit.example", "implicit.example", "implicit.example/0=198.51.100.3:2525"},
		{"alias.example", "mx.example", "first.mx.example/10=198.51.100.1:2525,[2001:db8::1]:2525 backup.mx.example/20=198.51.100.2:2525"},
		{"aliasedhost.example", "mx.example", "cname.mx.example/5=198.51.100.1:2525,[2001:db8::1]:2525"},
		{"skips.example", "mx.example", "backup.mx.example/4=198.51.100.2:2525"},
		{"nullandmore.example", "mx.example", "backup.mx.example/5=198.51.100.2:2525"},
		{"upper.example", "mx.example", "backup.mx.example/5=198.51.100.2:2525"},
		{"twice.example", "mx.example", "backup.mx.example/5=198.51.100.2:2525"},
		{"private.example", "private.example", "private.example/0=10.1.2.3:2525"},
		{"hosted.example", "provider.co.uk", "hosted-example.mail.protection.provider.co.uk/0=198.51.100.7:2525"},
		{"[192.0.2.1]", "[192.0.2.1]", "192.0.2.1/0=192.0.2.1:2525"},
		{"[IPv6:2001:db8::5]", "[IPv6:2001:db8::5]", "2001:db8::5/0=[2001:db8::5]:2525"},
	} {
		found := mustRoute(t, router, tc.domain)
		if got := strings.Join(hosts(found), " "); got != tc.hosts || found.Site != tc.site || found.Relay != nil {
			t.Errorf("%s: site %s, %s\nwant site %s, %s", tc.domain, found.Site, got, tc.site, tc.hosts)
		}
	}
}

func TestFailures(t *testing.T) {
	server := startDNS(t,
		"null.example. 60 IN MX 0 .",
		"empty.example. 60 IN TXT nothing",
		"deadhosts.example. 60 IN MX 1 gone.mx.example.", "deadhosts.example. 60 IN MX 2 empty.example.",
		"doubtful.example. 60 IN MX 1 gone.mx.example.", "doubtful.example. 60 IN MX 2 broken.example.",
		"malformed.example. 60 IN MX 1 192.0.2.1.",
		"local.example. 60 IN A 127.0.0.1", "unspecified.example. 60 IN A 0.0.0.0",
		"localv6.example. 60 IN AAAA ::1", "mapped.example. 60 IN AAAA ::ffff:127.0.0.1",
		"nat64.example. 60 IN AAAA 64:ff9b::7f00:1", "multicast.example. 60 IN A 224.0.0.1",
		"own.example. 60 IN A 198.51.100.99", "other.example. 60 IN A 198.51.100.98",
		"best.example. 60 IN MX 10 own.example.", "best.example. 60 IN MX 10 other.example.", "best.example. 60 IN MX 20 other.example.",
		"byname.example. 60 IN MX 5 ourselves.example.", "byname.example. 60 IN MX 6 other.example.",
		"ourselves.example. 60 IN A 198.51.100.97",
		"primarygone.example. 60 IN MX 1 gone.mx.example.", "primarygone.example. 60 IN MX 2 own.example.",
		"primarydoubtful.example. 60 IN MX 1 broken.example.", "primarydoubtful.example. 60 IN MX 2 own.example.",
		"linklocal.example. 60 IN A 169.254.169.254", "shared.example. 60 IN A 100.64.0.1", "unique.example. 60 IN AAAA fd00::1",
		"private.example. 60 IN A 192.168.0.1",
		"circle.example. 60 IN CNAME round.example.", "round.example. 60 IN CNAME circle.example.",
		"dangling.example. 60 IN CNAME gone.example.",
	)
	server.Fault("broken.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	server.Fault("refused.example", testmx.DNSFault{Rcode: dns.RcodeRefused})
	server.Fault("silent.example", testmx.DNSFault{Silent: true})
	server.Fault("noise.example", testmx.DNSFault{Raw: []byte("\x00\x00\x81\x80 this is no DNS message at all")})
	server.Fault("short.example", testmx.DNSFault{Raw: []byte{0, 0, 1}})
	router := newRouter(t, server, func(o *route.Options) {
		o.Own = []netip.AddrPort{netip.MustParseAddrPort("198.51.100.99:25")}
		o.OwnNames = []mail.Domain{"ourselves.example"}
	})
	for _, tc := range []struct {
		domain   string
		cause    error
		code     int
		enhanced string
	}{
		{"nowhere.example", route.ErrNoDomain, 550, "5.1.2"},
		{"dangling.example", route.ErrNoDomain, 550, "5.1.2"},
		{"null.example", route.ErrNullMX, 556, "5.1.10"},
		{"empty.example", route.ErrNoHosts, 550, "5.1.2"},
		{"deadhosts.example", route.ErrNoHosts, 550, "5.1.2"},
		{"doubtful.example", route.ErrResolver, 451, "4.4.3"},
		{"malformed.example", route.ErrNoHosts, 451, "4.4.3"},
		{"broken.example", route.ErrResolver, 451, "4.4.3"},
		{"refused.example", route.ErrResolver, 451, "4.4.3"},
		{"silent.example", route.ErrResolver, 451, "4.4.3"},
		{"noise.example", route.ErrResolver, 451, "4.4.3"},
		{"short.example", route.ErrResolver, 451, "4.4.3"},
		{"circle.example", route.ErrResolver, 451, "4.4.3"},
		{"local.example", route.ErrForbidden, 550, "5.4.4"},
		{"localv6.example", route.ErrForbidden, 550, "5.4.4"},
		{"mapped.example", route.ErrForbidden, 550, "5.4.4"},
		{"nat64.example", route.ErrForbidden, 550, "5.4.4"},
		{"unspecified.example", route.ErrForbidden, 550, "5.4.4"},
		{"multicast.example", route.ErrForbidden, 550, "5.4.4"},
		{"own.example", route.ErrLoop, 550, "5.4.6"},
		{"best.example", route.ErrLoop, 550, "5.4.6"},
		{"byname.example", route.ErrLoop, 550, "5.4.6"},
		{"ourselves.example", route.ErrLoop, 550, "5.4.6"},
		{"[198.51.100.99]", route.ErrLoop, 550, "5.4.6"},
		{"primarygone.example", route.ErrNoHosts, 550, "5.1.2"},
		{"primarydoubtful.example", route.ErrResolver, 451, "4.4.3"},
		{"linklocal.example", route.ErrForbidden, 550, "5.4.4"},
		{"shared.example", route.ErrForbidden, 550, "5.4.4"},
		{"unique.example", route.ErrForbidden, 550, "5.4.4"},
		{"private.example", route.ErrForbidden, 550, "5.4.4"},
		{"[127.0.0.1]", route.ErrForbidden, 550, "5.4.4"},
		{"[IPv6:::1]", route.ErrForbidden, 550, "5.4.4"},
	} {
		t.Run(tc.domain, func(t *testing.T) {
			wantFailure(t, router, tc.domain, tc.cause, tc.code, tc.enhanced)
		})
	}
}

// TestBackup: only exchangers that are better than ourselves are used.
func TestBackup(t *testing.T) {
	server := startDNS(t,
		"a.example. 60 IN MX 10 first.example.", "a.example. 60 IN MX 20 us.example.",
		"a.example. 60 IN MX 20 equal.example.", "a.example. 60 IN MX 30 last.example.",
		"first.example. 60 IN A 198.51.100.1", "us.example. 60 IN A 198.51.100.2", "us.example. 60 IN AAAA 2001:db8::2",
		"equal.example. 60 IN A 198.51.100.3", "last.example. 60 IN A 198.51.100.4")
	for own, want := range map[string]int{
		"[2001:db8::2]:25": 1, "[::ffff:198.51.100.2]:25": 1, "198.51.100.4:25": 3, "198.51.100.2:2525": 4, "198.51.100.9:25": 4,
	} {
		router := newRouter(t, server, func(o *route.Options) { o.Own = []netip.AddrPort{netip.MustParseAddrPort(own)} })
		got := mustRoute(t, router, "a.example").Hosts
		if len(got) != want || got[0].Name != "first.example" {
			t.Errorf("own %s: %d hosts, want %d", own, len(got), want)
		}
	}
}

func TestOwnAddrs(t *testing.T) {
	own, err := route.OwnAddrs([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:25"), netip.MustParseAddrPort("198.51.100.1:587")})
	if err != nil || !slices.Contains(own, netip.MustParseAddrPort("127.0.0.1:25")) || !slices.Contains(own, netip.MustParseAddrPort("198.51.100.1:587")) {
		t.Errorf("%v, %v", own, err)
	}
}

func TestLoopbackBySetting(t *testing.T) {
	server := startDNS(t, "local.example. 60 IN A 127.0.0.1")
	router := newRouter(t, server, func(o *route.Options) { o.AllowLoopback = true })
	if got := hosts(mustRoute(t, router, "local.example")); !slices.Equal(got, []string{"local.example/0=127.0.0.1:25"}) {
		t.Error(got)
	}
}

func TestFamiliesHoldForLiterals(t *testing.T) {
	server := startDNS(t)
	for literal, family := range map[string]route.Family{
		"[192.0.2.1]": route.OnlyIPv6, "[IPv6:2001:db8::5]": route.OnlyIPv4,
	} {
		router := newRouter(t, server, func(o *route.Options) { o.Family = family })
		wantFailure(t, router, literal, route.ErrForbidden, 550, "5.4.4")
	}
}

func TestFamilies(t *testing.T) {
	server := startDNS(t, "both.example. 60 IN A 198.51.100.1", "both.example. 60 IN AAAA 2001:db8::1",
		"six.example. 60 IN AAAA 2001:db8::2")
	for _, tc := range []struct {
		family route.Family
		want   string
	}{
		{route.PreferIPv4, "both.example/0=198.51.100.1:25,[2001:db8::1]:25"},
		{route.PreferIPv6, "both.example/0=[2001:db8::1]:25,198.51.100.1:25"},
		{route.OnlyIPv4, "both.example/0=198.51.100.1:25"},
		{route.OnlyIPv6, "both.example/0=[2001:db8::1]:25"},
	} {
		router := newRouter(t, server, func(o *route.Options) { o.Family = tc.family })
		if got := hosts(mustRoute(t, router, "both.example"))[0]; got != tc.want {
			t.Errorf("family %d: %s, want %s", tc.family, got, tc.want)
		}
	}
	router := newRouter(t, server, func(o *route.Options) { o.Family = route.OnlyIPv4 })
	wantFailure(t, router, "six.example", route.ErrNoHosts, 550, "5.1.2")
}

func TestOneFamilyFailing(t *testing.T) {
	// A server that knows no AAAA must not make the host unreachable.
	server := startDNS(t, "half.example. 60 IN MX 1 mx.half.example.", "mx.half.example. 60 IN A 198.51.100.1")
	router := newRouter(t, server, nil)
	mustRoute(t, router, "half.example")
}

func TestEqualPreferenceIsShuffled(t *testing.T) {
	server := startDNS(t,
		"a.example. 60 IN MX 10 m1.example.", "a.example. 60 IN MX 10 m2.example.", "a.example. 60 IN MX 10 m3.example.",
		"a.example. 60 IN MX 20 last.example.",
		"m1.example. 60 IN A 198.51.100.1", "m2.example. 60 IN A 198.51.100.2", "m3.example. 60 IN A 198.51.100.3",
		"last.example. 60 IN A 198.51.100.4")
	router := newRouter(t, server, nil)
	firsts := make(map[string]int)
	key := mustRoute(t, router, "a.example").Key()
	for range 300 {
		found := mustRoute(t, router, "a.example")
		firsts[found.Hosts[0].Name]++
		if found.Hosts[3].Name != "last.example" {
			t.Fatalf("lower preference first: %v", hosts(found))
		}
		if found.Key() != key {
			t.Fatalf("key %q depends on the shuffle: %q", found.Key(), key)
		}
	}
	if len(firsts) != 3 {
		t.Errorf("first hosts: %v, want all three", firsts)
	}
}

func TestKey(t *testing.T) {
	host := func(name string, preference uint16) route.Host {
		return route.Host{Name: name, Preference: preference}
	}
	base := route.Route{Hosts: []route.Host{host("a", 10), host("b", 10)}}
	same := route.Route{Hosts: []route.Host{host("b", 5), host("a", 5)}}
	if base.Key() != same.Key() {
		t.Error("equal routes have different keys")
	}
	for _, other := range []route.Route{
		{Hosts: []route.Host{host("a", 10), host("b", 20)}},
		{Hosts: []route.Host{host("a", 10)}},
		{Hosts: base.Hosts, Relay: &route.Relay{}},
		{Hosts: base.Hosts, Relay: &route.Relay{Username: "u", Password: "hunter2"}},
		{Hosts: base.Hosts, Relay: &route.Relay{TLS: mail.TLSVerified}},
	} {
		if base.Key() == other.Key() {
			t.Errorf("%v has the key of %v", other, base)
		}
		if strings.Contains(other.Key(), "hunter2") {
			t.Error("the key holds the password")
		}
	}
}

func TestBounds(t *testing.T) {
	server := startDNS(t)
	for i := range 40 {
		n := string(rune('a'+i/26)) + string(rune('a'+i%26))
		if err := server.Add("many.example. 60 IN MX 10 "+n+".mx.example.", n+".mx.example. 60 IN A 198.51.100.1",
			"wide.example. 60 IN AAAA 2001:db8::"+n[:1]+string(rune('0'+i%10)), "wide.example. 60 IN A 198.51.100."+string(rune('1'+i%9))); err != nil {
			t.Fatal(err)
		}
	}
	router := newRouter(t, server, func(o *route.Options) { o.MaxHosts, o.MaxAddrs = 5, 4 })
	first := mustRoute(t, router, "many.example")
	if len(first.Hosts) != 5 || first.Key() != mustRoute(t, router, "many.example").Key() {
		t.Errorf("%d hosts, want the same 5 each time", len(first.Hosts))
	}
	addrs := mustRoute(t, router, "wide.example").Hosts[0].Addrs
	if len(addrs) != 4 || !addrs[0].Addr().Is4() || !addrs[3].Addr().Is6() {
		t.Errorf("addresses %v, want two of each family, IPv4 first", addrs)
	}
}

func TestCancelledCaller(t *testing.T) {
	server := startDNS(t)
	server.Fault("slow.example", testmx.DNSFault{Silent: true})
	router := newRouter(t, server, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := router.Route(ctx, "slow.example")
	var failure *route.Error
	if !errors.As(err, &failure) || !errors.Is(err, context.Canceled) || !failure.Reply.Temporary() {
		t.Errorf("error %v, want a temporary one that is context.Canceled", err)
	}
}

func TestLookupTXT(t *testing.T) {
	server := startDNS(t, `sel._domainkey.a.example. 60 IN TXT "v=DKIM1; k=rsa; " "p=AA\059\"==" `)
	server.Fault("broken.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	router := newRouter(t, server, nil)
	texts, err := router.LookupTXT(t.Context(), "sel._domainkey.a.example")
	if err != nil || len(texts) != 1 || texts[0] != `v=DKIM1; k=rsa; p=AA;"==` {
		t.Errorf("%q, %v", texts, err)
	}
	if texts, err = router.LookupTXT(t.Context(), "none.example."); err != nil || len(texts) != 0 {
		t.Errorf("%q, %v for a name that does not exist", texts, err)
	}
	if _, err = router.LookupTXT(t.Context(), "broken.example"); !errors.Is(err, route.ErrResolver) {
		t.Errorf("%v, want ErrResolver", err)
	}
}
