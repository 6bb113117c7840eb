package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

func TestBodiesAreBounded(t *testing.T) {
	store := newMemory()
	cache := newBodies(store, 1000)
	var messages []*queue.Message
	for i := range 50 {
		id := store.accept(letter{body: fmt.Sprintf("%0100d", i)}, "r@d.example")
		messages = append(messages, &queue.Message{ID: id})
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i, m := range messages {
				if got, err := cache.get(t.Context(), m); err != nil || string(got) != fmt.Sprintf("%0100d", i) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	group.Wait()
	if cache.size > 1000 || cache.order.Len() > 10 || len(cache.byID) != cache.order.Len() {
		t.Errorf("%d octets, %d listed, %d found", cache.size, cache.order.Len(), len(cache.byID))
	}
}

func TestBodyErrorsAreNotKept(t *testing.T) {
	store := newMemory()
	id := store.accept(letter{body: "x"}, "r@d.example")
	cache := newBodies(store, 1000)
	store.fail = func(string) error { return errDisk }
	if _, err := cache.get(t.Context(), &queue.Message{ID: id}); err == nil {
		t.Fatal("no error")
	}
	store.fail = nil
	if got, err := cache.get(t.Context(), &queue.Message{ID: id}); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostsAreBoundedAndForgotten(t *testing.T) {
	h := newHosts()
	now := time.Now()
	for i := range maxHosts + 100 {
		h.avoid(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 25), now)
	}
	if n := len(h.avoided); n != maxHosts {
		t.Errorf("%d remembered", n)
	}
	first, second := netip.MustParseAddrPort("192.0.2.1:25"), netip.MustParseAddrPort("192.0.2.2:25")
	r := &route.Route{Hosts: []route.Host{{Name: "a", Addrs: []netip.AddrPort{first, second}}}}
	h.avoid(first, now)
	if order := h.order(r, &source.Choice{Families: source.Both}, now); order[0].addr != second {
		t.Errorf("an address that fails goes first: %v", order)
	}
	if order := h.order(r, &source.Choice{Families: source.Both}, now.Add(avoidTime+1)); order[0].addr != first {
		t.Errorf("not forgotten: %v", order)
	}
}

func TestASCII(t *testing.T) {
	for n := range 40 {
		b := make([]byte, n)
		if !ascii(b) {
			t.Errorf("%d zeros", n)
		}
		for i := range b {
			b[i] = 0x80
			if ascii(b) {
				t.Errorf("octet %d of %d is missed", i, n)
			}
			b[i] = 0x7f
		}
	}
}

// TestSettlerSkipsTheUnknown: a recipient that the store has forgotten must
// not hold up the others.
func TestSettlerSkipsTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written []int
		unknown := 3
		e := &Engine{options: Options{MaxInFlight: 100, Logger: slog.New(slog.DiscardHandler)}, capacity: newCapacity(1)}
		e.metrics, _ = newMetrics(nil, e)
		s := newSettler(e, "settle", func(_ context.Context, batch []queue.Outcome) error {
			for _, o := range batch {
				if o.Recipient.Index == unknown {
					return queue.ErrNotFound
				}
			}
			for _, o := range batch {
				written = append(written, o.Recipient.Index)
			}
			return nil
		})
		for i := range 10 {
			s.add(queue.Outcome{Recipient: queue.RecipientID{Index: i}, Event: event.Event{}})
		}
		s.finish()
		s.run(t.Context())
		if len(written) != 9 {
			t.Errorf("written: %v", written)
		}
	})
}
