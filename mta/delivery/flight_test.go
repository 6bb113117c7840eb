package delivery

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

// TestWindowIsFilled: one connection carries as many messages a round trip as
// it can.
func TestWindowIsFilled(t *testing.T) {
	run(t, 10*time.Second, func(b *workbench) {
		b.shape.Default.Connections = 1
		b.world.window, b.world.sendTime = 20, 100*time.Millisecond
		for range 10_000 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		if n := b.store.counts()[event.Delivered]; n < 1900 || n > 2000 {
			t.Errorf("%d delivered in 100 round trips of 20", n)
		}
	})
}

// TestWindowBeforeConnections: what one connection can carry opens no other,
// and more than that does.
func TestWindowBeforeConnections(t *testing.T) {
	for count, most := range map[int]int{10: 2, 100: 5, 5000: 20} {
		run(t, time.Minute, func(b *workbench) {
			b.world.window, b.world.sendTime, b.world.dialTime = 16, 100*time.Millisecond, 300*time.Millisecond
			for range count {
				b.store.accept(letter{body: "x"}, "r@d.example")
			}
		}, func(t *testing.T, b *workbench) {
			wantCounts(t, b, map[event.Type]int{event.Delivered: count})
			if b.world.peak > most || count == 5000 && b.world.peak < 10 {
				t.Errorf("%d connections for %d messages, want %d", b.world.peak, count, most)
			}
		})
	}
}

// TestSteadyTrickleKeepsOneConnection: messages that come slower than a
// connection carries them need no second.
func TestSteadyTrickleKeepsOneConnection(t *testing.T) {
	run(t, 20*time.Second, func(b *workbench) {
		b.world.window, b.world.sendTime = 16, 100*time.Millisecond
		var next func()
		count := 0
		next = func() {
			b.store.accept(letter{body: "x"}, "r@d.example")
			if count++; count < 1000 {
				time.AfterFunc(10*time.Millisecond, next)
			}
		}
		next()
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1000})
		if b.world.dials != 1 {
			t.Errorf("%d connections", b.world.dials)
		}
	})
}

// TestBrokenFlight: of all that is under way when a connection breaks, what was
// being answered waits as after any failure; what nobody had looked at goes out
// at once, and nothing is sent twice that was answered.
func TestBrokenFlight(t *testing.T) {
	for command, deferred := range map[smtpclient.Command]int{smtpclient.Final: 1, smtpclient.MAIL: 0} {
		var got map[string]int
		run(t, 30*time.Second, func(b *workbench) {
			got = map[string]int{}
			b.shape.Default.Connections = 1
			b.world.window, b.world.sendTime = 8, 100*time.Millisecond
			b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
				if b.world.transactions == 20 {
					return make([]smtpclient.Answer, len(t.Recipients)), &smtpclient.Error{Command: command, Scope: mail.ScopeSession, Err: errors.New("reset")}
				}
				got[t.Recipients[0].Address.String()]++
				return all(t, ok), nil
			}
			for i := range 50 {
				b.store.accept(letter{body: "x"}, fmt.Sprintf("r%d@d.example", i))
			}
		}, func(t *testing.T, b *workbench) {
			wantCounts(t, b, map[event.Type]int{event.Delivered: 50 - deferred, event.Deferred: deferred})
			if b.world.dials != 2 {
				t.Errorf("%d connections", b.world.dials)
			}
			for who, n := range got {
				if n != 1 {
					t.Errorf("%s got %d copies", who, n)
				}
			}
		})
	}
}

// TestFlightThatAlwaysBreaks: a server that never answers gets each message a
// bounded number of times.
func TestFlightThatAlwaysBreaks(t *testing.T) {
	offered := map[string]int{}
	run(t, 50*time.Second, func(b *workbench) {
		b.world.window, b.world.sendTime = 8, 10*time.Millisecond
		b.world.oneAtATime = true // each break looks like the fault of the flight
		b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			offered[t.Recipients[0].Address.String()]++
			return make([]smtpclient.Answer, len(t.Recipients)), &smtpclient.Error{Command: smtpclient.MAIL, Scope: mail.ScopeSession, Err: errors.New("reset")}
		}
		for i := range 20 {
			b.store.accept(letter{body: "x"}, fmt.Sprintf("r%d@d.example", i))
		}
	}, func(t *testing.T, b *workbench) {
		for who, n := range offered {
			if n > 4 {
				t.Errorf("%s was offered %d times in less than a retry", who, n)
			}
		}
		if n := b.store.counts()[event.Deferred]; n == 0 || b.world.dials > 20 {
			t.Errorf("%d deferred by %d connections", n, b.world.dials)
		}
	})
}

// TestLastFlightIsAwaited: told to stop, the engine begins nothing more and
// takes the answers to all that is under way.
func TestLastFlightIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.shape.Default.Connections = 1
		b.world.window, b.world.sendTime = 16, 10*time.Second
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(time.Second)
		began := time.Now()
		b.stop()
		if n := b.store.counts()[event.Delivered]; n != 16 || b.world.transactions != 16 || b.store.left() != 84 {
			t.Errorf("%d delivered of %d sent, %d left", n, b.world.transactions, b.store.left())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestFlightHasADeadline gives back what is not answered when the engine must
// end.
func TestFlightHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.Drain = 5 * time.Second
		b.world.window, b.world.sendTime = 16, time.Hour
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(time.Second)
		b.stop()
		wantCounts(t, b, map[event.Type]int{event.Delivered: 0, event.Deferred: 0})
		if b.store.left() != 100 {
			t.Errorf("%d left", b.store.left())
		}
	})
}

func TestRateHoldsInFlight(t *testing.T) {
	run(t, 10*time.Minute, func(b *workbench) {
		b.shape.Default.Rate = shape.Rate{Messages: 600, Per: time.Minute}
		b.world.window, b.world.sendTime = 32, 500*time.Millisecond
		for range 10_000 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		if n := b.world.transactions; n < 5950 || n > 6001 {
			t.Errorf("%d messages in ten minutes at 600 a minute", n)
		}
	})
}

func TestMessagesPerConnectionInFlight(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.shape.Default = shape.Limits{Connections: 1, MessagesPerConnection: 10}
		b.world.window, b.world.sendTime = 32, 100*time.Millisecond
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 100})
		if b.world.dials != 10 {
			t.Errorf("%d connections for 100 messages", b.world.dials)
		}
	})
}

// TestLeasesInFlightAreBounded: a wide window does not lease beyond the limit.
func TestLeasesInFlightAreBounded(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.MaxInFlight = 50
		b.shape.Default.Connections = 5
		b.world.window, b.world.sendTime = 32, 10*time.Millisecond
		for range 2000 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 2000})
		if b.store.peak > 50+5*3 {
			t.Errorf("%d leases at once", b.store.peak)
		}
	})
}

// TestOneAtATimeIsRemembered for the address that showed it.
func TestOneAtATimeIsRemembered(t *testing.T) {
	var mu sync.Mutex
	asked := []bool{}
	run(t, time.Minute, func(b *workbench) {
		b.world.oneAtATime = true
		b.world.dial = func(_ netip.AddrPort, _ string, o smtpclient.Options) error {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, o.OneAtATime)
			return nil
		}
		b.store.accept(letter{body: "x"}, "r@d.example")
		time.AfterFunc(30*time.Second, func() { b.store.accept(letter{body: "x"}, "r@d.example") })
	}, func(t *testing.T, _ *workbench) {
		if len(asked) != 2 || asked[0] || !asked[1] {
			t.Errorf("%v", asked)
		}
	})
}

// TestWireLiar: a server that does not know the chunks it offers to take gets
// its mail by DATA, without a deferral.
func TestWireLiar(t *testing.T) {
	world := newInternet(t)
	server := world.exchanger(1, testmx.Options{
		Without: testmx.Extensions{Chunking: true},
		Rules: []testmx.Rule{
			{Command: testmx.EHLO, Action: testmx.Action{Reply: "250-mx1.test\n250-PIPELINING\n250-8BITMIME\n250 CHUNKING"}},
			// BDAT is unknown, and what follows it is no command.
			{Command: testmx.Content, Pattern: "*", Nth: 1, Action: testmx.Action{Reply: "500 5.5.1 what?"}},
		},
	})
	world.record("a.example. 60 IN MX 10 mx1.test.")
	b := newWorkbench()
	for i := range 50 {
		b.store.accept(letter{body: "Subject: x\r\n\r\nx\r\n"}, fmt.Sprintf("r%d@a.example", i))
	}
	world.start(b)
	b.settled(t)
	b.stop()
	wantCounts(t, b, map[event.Type]int{event.Delivered: 50, event.Deferred: 0, event.Bounced: 0})
	if n := len(server.Messages()); n != 50 {
		t.Errorf("%d messages", n)
	}
}
