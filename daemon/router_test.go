package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

func asking(t *testing.T, dns *testmx.DNS) *route.Router {
	t.Helper()
	r, err := route.New(route.Options{Resolver: []string{dns.Addr()}, AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRouterReplace proves that a look-up under way outlives the router that
// began it being replaced, that later ones ask the new one, and that the old
// one ends.
func TestRouterReplace(t *testing.T) {
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	if err := dns.Add("slow.example. 60 IN A 127.0.0.1", "quick.example. 60 IN A 127.0.0.1", "late.example. 60 IN A 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	dns.Fault("slow.example", testmx.DNSFault{Silent: true})
	old, ctx := asking(t, dns), context.Background()
	r := &router{}
	r.replace(old)
	slow := make(chan error, 1)
	go func() {
		_, err := r.Route(ctx, "slow.example")
		slow <- err
	}()
	for dns.Total() == 0 {
		time.Sleep(time.Millisecond)
	}
	r.replace(asking(t, dns))
	if _, err := r.Route(ctx, "quick.example"); err != nil {
		t.Error(err)
	}
	select {
	case err := <-slow:
		t.Fatalf("the look-up under way ended: %v", err)
	default:
	}
	dns.Heal("slow.example")
	if err := <-slow; err != nil {
		t.Errorf("the look-up under way failed: %v", err)
	}
	if err := r.close(ctx); err != nil {
		t.Error(err)
	}
	for name, closed := range map[string]*route.Router{"old": old, "new": r.current.Router} {
		if _, err := closed.Route(ctx, "late.example"); err == nil {
			t.Errorf("the %s router still answers", name)
		}
	}
	late := asking(t, dns)
	r.replace(late)
	if _, err := late.Route(ctx, "late.example"); err == nil {
		t.Error("a router that came too late was not closed")
	}
}
