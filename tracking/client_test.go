package tracking

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/limit"
)

func proxied(trusted ...string) *Tracker {
	t := &Tracker{}
	for _, p := range trusted {
		t.proxies = append(t.proxies, netip.MustParsePrefix(p))
	}
	return t
}

// TestClient proves whom a request comes from, behind no proxy, one and
// several, and that nobody can say they are somebody else.
func TestClient(t *testing.T) {
	trusted := proxied("10.0.0.0/8", "2001:db8::/32")
	for name, test := range map[string]struct {
		tracker *Tracker
		peer    string
		lines   []string
		want    string
	}{
		"no proxy":             {proxied(), "192.0.2.1:99", nil, "192.0.2.1"},
		"a liar":               {proxied(), "192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1"},
		"a liar among proxies": {trusted, "192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1"},
		"one proxy":            {trusted, "10.0.0.1:99", []string{"198.51.100.7"}, "198.51.100.7"},
		"one of IPv6":          {trusted, "[2001:db8::1]:99", []string{"198.51.100.7"}, "198.51.100.7"},
		"mapped":               {trusted, "[::ffff:10.0.0.1]:99", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"two proxies":          {trusted, "10.0.0.1:99", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"invented in front":    {trusted, "10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"several lines":        {trusted, "10.0.0.1:99", []string{"1.1.1.1", "198.51.100.7", "10.0.0.2,\t10.0.0.3"}, "198.51.100.7"},
		"all trusted":          {trusted, "10.0.0.1:99", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"nothing said":         {trusted, "10.0.0.1:99", nil, "10.0.0.1"},
		"an empty line":        {trusted, "10.0.0.1:99", []string{""}, "10.0.0.1"},
		"unknown":              {trusted, "10.0.0.1:99", []string{"198.51.100.7, unknown"}, "10.0.0.1"},
		"unknown behind one":   {trusted, "10.0.0.1:99", []string{"198.51.100.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		"an empty entry":       {trusted, "10.0.0.1:99", []string{"198.51.100.7,,10.0.0.2"}, "10.0.0.2"},
		"with a port":          {trusted, "10.0.0.1:99", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		"IPv6 in brackets":     {trusted, "10.0.0.1:99", []string{"[2001:4860::1]"}, "2001:4860::1"},
		"IPv6 with a port":     {trusted, "10.0.0.1:99", []string{"[2001:4860::1]:443"}, "2001:4860::1"},
		"IPv6 plain":           {trusted, "10.0.0.1:99", []string{"2001:4860::1"}, "2001:4860::1"},
		"IPv4 in brackets":     {trusted, "10.0.0.1:99", []string{"[198.51.100.7]"}, "10.0.0.1"},
		"a zone":               {trusted, "10.0.0.1:99", []string{"fe80::1%eth0"}, "fe80::1"},
		"a host name":          {trusted, "10.0.0.1:99", []string{"reader.example.com"}, "10.0.0.1"},
		"unix socket":          {proxied(), "@", []string{"198.51.100.7"}, "198.51.100.7"},
		"unix socket, silent":  {proxied(), "@", nil, "invalid IP"},
		"unix socket, unclear": {proxied(), "", []string{"?"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.lines}}
		if got := test.tracker.client(r).String(); got != test.want {
			t.Errorf("%s: %s instead of %s", name, got, test.want)
		}
	}
}

// FuzzClient holds that what stands left of an untrusted entry changes nothing,
// that an untrusted peer is always itself, and that the answer is a plain
// address or none.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:99", "198.51.100.7, 10.0.0.2", "1.1.1.1")
	f.Add("192.0.2.1:99", "unknown", "")
	f.Add("@", "[2001:db8::1]:443", ",")
	f.Add("[fe80::1%eth0]:1", "fe80::1%25eth0", "::")
	t := proxied("10.0.0.0/8")
	f.Fuzz(func(tt *testing.T, peer, list, forged string) {
		ask := func(lines ...string) netip.Addr {
			return t.client(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": lines}})
		}
		got := ask(list)
		if got.Zone() != "" || got.Is4In6() {
			tt.Fatalf("%v is not plain", got)
		}
		if lines := strings.Split(list, ","); ask(lines...) != got {
			tt.Fatalf("lines and commas differ for %q", list)
		}
		if direct, err := netip.ParseAddrPort(peer); err == nil && !t.proxies.Contain(direct.Addr()) && got != plainAddr(direct.Addr()) {
			tt.Fatalf("%v speaks for %v", peer, got)
		}
		if got.IsValid() && !t.proxies.Contain(got) && ask(forged, list) != got {
			tt.Fatalf("%q in front changed %v", forged, got)
		}
		if limit.Client(got).IsValid() != got.IsValid() {
			tt.Fatalf("no client of %v", got)
		}
	})
}

func BenchmarkClient(b *testing.B) {
	t := proxied("10.0.0.0/8")
	r := &http.Request{RemoteAddr: "10.0.0.1:99", Header: http.Header{"X-Forwarded-For": {"198.51.100.7, 10.0.0.2"}}}
	b.ReportAllocs()
	for b.Loop() {
		t.client(r)
	}
}
