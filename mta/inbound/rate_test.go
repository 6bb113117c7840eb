package inbound

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// TestRates: each client has its minute, an IPv6 network counts as one, and
// memory is bounded.
func TestRates(t *testing.T) {
	r, now := newRates(2), time.Now()
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	near, far := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	for _, step := range []struct {
		client netip.Addr
		after  time.Duration
		want   bool
	}{
		{one, 0, true},
		{one, 0, true},
		{one, time.Second, false},
		{other, time.Second, true},
		{near, 0, true},
		{far, 0, true},
		{near, 0, false},
		{far, 59 * time.Second, false},
		{one, 59 * time.Second, false},
		{one, time.Minute, true},
		{far, time.Minute, true},
		{netip.Addr{}, 0, true},
	} {
		if got := r.allow(step.client, now.Add(step.after)); got != step.want {
			t.Errorf("%v after %v: %v", step.client, step.after, got)
		}
	}
	for n := range uint32(maxClients + 100) {
		if !r.allow(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))), now.Add(time.Minute)) {
			t.Fatalf("client %d is refused its first message", n)
		}
	}
	if len(r.clients) > maxClients {
		t.Errorf("%d clients are counted", len(r.clients))
	}
	if unlimited := newRates(0); !unlimited.allow(one, now) || len(unlimited.clients) > 0 {
		t.Error("no limit is one")
	}
}
