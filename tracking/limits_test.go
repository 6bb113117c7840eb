package tracking_test

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// from sends a request as a trusted proxy does for a client.
func (s *site) from(t *testing.T, client, method, url, contentType, body string) response {
	t.Helper()
	before := s.client.Transport
	defer func() { s.client.Transport = before }()
	s.client.Transport = forwarder{before, client}
	return s.do(t, method, url, contentType, body)
}

type forwarder struct {
	http.RoundTripper
	client string
}

func (f forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Forwarded-For", f.client)
	return f.RoundTripper.RoundTrip(r)
}

// TestLimits proves over real sockets that one client's flood is refused with
// the time to wait, that nobody else notices, and that unsubscribing is never
// refused for it.
func TestLimits(t *testing.T) {
	s := startWith(t, func(o *tracking.Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.Limits = tracking.Limits{RequestsPerSecond: 1, RequestBurst: 3, UnsubscribesPerSecond: 1, UnsubscribeBurst: 3}
	})
	click := must(t)(s.links.ClickURL(message(), 0, "https://example.com/"))
	const flooder, neighbour = "2001:db8:0:1::1", "2001:db8:0:1:2::2"
	refused := 0
	for _, url := range []string{click, s.base + "/nothing", click, click, s.base + "/nothing", click} {
		got := s.from(t, flooder, "GET", url, "", "")
		if got.StatusCode != http.StatusTooManyRequests {
			continue
		}
		refused++
		if got.Header.Get("Retry-After") != "1" || got.Header.Get("Location") != "" {
			t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
		}
		checkHeaders(t, got)
	}
	if refused < 2 { // the test may be slow, but not by seconds
		t.Errorf("%d refused", refused)
	}
	if got := s.from(t, neighbour, "GET", click, "", ""); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another address of the same /64: %d", got.StatusCode)
	}
	if got := s.from(t, "2001:db8:0:2::1", "GET", click, "", ""); got.StatusCode != http.StatusFound {
		t.Errorf("another client: %d", got.StatusCode)
	}
	if got := s.do(t, "GET", click, "", ""); got.StatusCode != http.StatusFound {
		t.Errorf("the proxy itself: %d", got.StatusCode)
	}
	for range 3 {
		if got := s.from(t, flooder, "POST", unsubscribeURL(t, s), form, "List-Unsubscribe=One-Click"); got.StatusCode != http.StatusOK {
			t.Errorf("unsubscribing after a flood of clicks: %d", got.StatusCode)
		}
	}
}

// TestUnsubscribesHaveALimit proves that the limit of their own is one.
func TestUnsubscribesHaveALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &store{}, func(o *tracking.Options) {
			o.Limits = tracking.Limits{RequestsPerSecond: 1, RequestBurst: 1, UnsubscribesPerSecond: 1, UnsubscribeBurst: 2}
		})
		url := must(t)(links(t, "https://t.example").UnsubscribeURL(message(), 0, "shop", "marketing", address(t)))
		for i, want := range []int{200, 200, 429} {
			if got := get(tracker, url); got.Code != want {
				t.Errorf("page %d: %d", i, got.Code)
			}
		}
		time.Sleep(time.Second)
		if got := get(tracker, url); got.Code != http.StatusOK {
			t.Errorf("a second later: %d", got.Code)
		}
		shutdown(t, tracker)
	})
}

// TestConnectionLimit proves over real sockets that a client with too many
// connections gets no more, and that it is counted.
func TestConnectionLimit(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := startWith(t, func(o *tracking.Options) {
		o.Limits.Connections, o.Registerer = 2, registry
	})
	for range 2 {
		c, err := net.Dial("tcp", s.base[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	third, err := net.Dial("tcp", s.base[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("the third one is served")
	}
	if n := counter(t, registry, "postrider_tracking_connections_refused_total"); n != 1 {
		t.Errorf("%v refused", n)
	}
}

// TestProbe proves that a probe is answered with the proof, and that nothing
// else is.
func TestProbe(t *testing.T) {
	s := start(t)
	ring, challenge := keyring(t), token.MakeChallenge()
	probe := must(t)(ring.SealProbe(challenge))
	got := s.do(t, "GET", s.base+"/probe/"+probe, "", "")
	if got.StatusCode != http.StatusOK || !ring.Proves(got.body, challenge) {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	checkHeaders(t, got)
	strange, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "x", got.body, must(t)(strange.SealProbe(challenge)), must(t)(ring.SealOpen(token.Open{}))} {
		if answer := s.do(t, "GET", s.base+"/probe/"+wrong, "", ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d", wrong, answer.StatusCode)
		}
	}
	if e := s.events(t); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

func BenchmarkClickWithLimits(b *testing.B) {
	benchmarkClick(b, func(o *tracking.Options) {
		o.Limits = tracking.Limits{RequestsPerSecond: 1_000_000_000, RequestBurst: 1_000_000, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	})
}
