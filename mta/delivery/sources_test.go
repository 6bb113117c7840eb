package delivery

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// pools are named as they are written: "all: one=3 two=1".
func pools(t *testing.T, texts ...string) *source.Set {
	t.Helper()
	o := source.Options{Block: 1}
	known := map[string]bool{}
	for _, text := range texts {
		name, members, _ := strings.Cut(text, ": ")
		p := source.Pool{Name: name}
		for _, member := range strings.Fields(members) {
			of, weight, _ := strings.Cut(member, "=")
			m := source.Member{Source: of, Weight: 1}
			if weight != "" {
				fmt.Sscan(weight, &m.Weight)
			}
			p.Members = append(p.Members, m)
			if !known[of] {
				known[of] = true
				o.Sources = append(o.Sources, source.Source{Name: of, EHLO: of + ".example"})
			}
		}
		o.Pools = append(o.Pools, p)
	}
	set, err := source.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// bySource counts events of a type by the source that they name.
func bySource(b *workbench, kind event.Type) map[string]int {
	counts := map[string]int{}
	for _, e := range b.store.of(kind) {
		counts[e.Source]++
	}
	return counts
}

func TestSourcesShareASiteByTheirWeights(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.Sources = pools(t, "all: one=3 two=1")
		for range 800 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 800})
		if got := bySource(b, event.Delivered); got["one"] < 550 || got["one"] > 650 {
			t.Errorf("shares %v, want 3 to 1", got)
		}
	})
}

var errBind = &smtpclient.Error{Command: smtpclient.Connect, Scope: mail.ScopeSession, Err: fmt.Errorf("%w: cannot assign address", smtpclient.ErrSource)}

// failing refuses connections from some sources.
func failing(err error, names ...string) func(netip.AddrPort, string, smtpclient.Options) error {
	return func(_ netip.AddrPort, _ string, o smtpclient.Options) error {
		for _, name := range names {
			if o.LocalName == name+".example" {
				return err
			}
		}
		return nil
	}
}

func TestSourceThatCannotSendIsReplaced(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.Sources = pools(t, "all: one two")
		b.world.dial = failing(errBind, "one")
		for range 500 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 500, event.Deferred: 0})
		if got := bySource(b, event.Delivered); got["two"] != 500 {
			t.Errorf("from %v", got)
		}
	})
}

func TestMailWithoutAnySourceWaits(t *testing.T) {
	run(t, 10*time.Hour, func(b *workbench) {
		b.Sources = pools(t, "all: one two")
		began := time.Now()
		down := failing(errBind, "one", "two")
		b.world.dial = func(addr netip.AddrPort, host string, o smtpclient.Options) error {
			if time.Since(began) > 3*time.Hour {
				return nil
			}
			return down(addr, host, o)
		}
		b.store.accept(letter{body: "x"}, addresses(20, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 20})
		for _, e := range b.store.of(event.Delivered) {
			if e.Attempt != 1 {
				t.Errorf("delivered with attempt %d", e.Attempt)
			}
		}
		wantCounts(t, b, map[event.Type]int{event.Deferred: 0})
	})
}

func TestPausedSourceLeavesItsMailToTheOthers(t *testing.T) {
	run(t, 5*time.Minute, func(b *workbench) {
		b.Sources = pools(t, "all: one two")
		b.world.dial = failing(errRefused, "one")
		for range 1000 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		if got := bySource(b, event.Delivered); got["two"] < 950 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestMessageNamesItsPool(t *testing.T) {
	run(t, 30*time.Second, func(b *workbench) {
		b.Sources = pools(t, "first: one", "other: two")
		b.store.accept(letter{body: "x"}, "a@d.example")
		b.store.accept(letter{body: "x", pool: "other"}, "b@d.example")
		b.store.accept(letter{body: "x", pool: "gone"}, "c@d.example")
	}, func(t *testing.T, b *workbench) {
		if got := bySource(b, event.Delivered); got["one"] != 1 || got["two"] != 1 {
			t.Errorf("delivered %v", got)
		}
		for _, e := range b.store.of(event.Deferred) {
			if !strings.Contains(e.Reason, `pool "gone"`) {
				t.Errorf("deferred for %q", e.Reason)
			}
		}
		if n := len(b.store.of(event.Deferred)); n != 1 {
			t.Errorf("%d deferred", n)
		}
	})
}

func TestOperatorDivertsMail(t *testing.T) {
	run(t, 30*time.Second, func(b *workbench) {
		b.Sources = pools(t, "first: one", "other: two")
		b.Divert = func(d *queue.Delivery) string {
			if d.Recipient.Address.Local() == "b" {
				return "other"
			}
			return ""
		}
		b.store.accept(letter{body: "x"}, "a@d.example", "b@d.example")
	}, func(t *testing.T, b *workbench) {
		if got := bySource(b, event.Delivered); got["one"] != 1 || got["two"] != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestMessageThatWaivesPoliciesDoesSoForItselfAlone(t *testing.T) {
	var floors []string
	run(t, time.Minute, func(b *workbench) {
		b.world.dial = func(_ netip.AddrPort, _ string, o smtpclient.Options) error {
			floors = append(floors, o.TLS.String())
			if o.TLS == mail.TLSVerified {
				return &smtpclient.Error{Command: smtpclient.EHLO, Scope: mail.ScopeSite, Err: smtpclient.ErrHandshake}
			}
			return nil
		}
		b.world.via("d.example", "d.example", "mx.d.example")
		b.world.routes["d.example"].Hosts[0].TLS = route.Protection{Floor: mail.TLSVerified, Policy: route.Policy{Type: route.PolicySTS}}
		b.store.accept(letter{body: "x", waiveTLS: true}, "a@d.example")
		b.store.accept(letter{body: "x"}, "b@d.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1})
		if n := len(b.store.of(event.Deferred)); n == 0 {
			t.Error("what the policy protects did not wait")
		}
		if got := fmt.Sprint(floors); !strings.Contains(got, "verified") || !strings.Contains(got, "opportunistic") {
			t.Errorf("asked for %s", got)
		}
	})
}

func TestDemandOfOneMessageHoldsForItAlone(t *testing.T) {
	var floors []string
	run(t, time.Minute, func(b *workbench) {
		b.world.dial = func(_ netip.AddrPort, _ string, o smtpclient.Options) error {
			floors = append(floors, fmt.Sprint(o.TLS, o.RequireTLS))
			if o.RequireTLS {
				return &smtpclient.Error{Command: smtpclient.EHLO, Scope: mail.ScopeSite, Err: smtpclient.ErrRequireTLS}
			}
			return nil
		}
		b.Demand = func(queue.Key) route.Demand { return route.Demand{} }
		b.store.accept(letter{body: "x", requireTLS: true}, "a@d.example")
		b.store.accept(letter{body: "x"}, "b@d.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1})
		if n := len(b.store.of(event.Deferred)); n == 0 {
			t.Error("what asks for more did not wait")
		}
		if got := fmt.Sprint(floors); !strings.Contains(got, "verified true") || !strings.Contains(got, "opportunistic false") {
			t.Errorf("asked for %s", got)
		}
	})
}
