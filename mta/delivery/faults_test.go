package delivery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/queue"
)

// TestNothingIsLostWhateverFails lets everything fail at random, for a while,
// with a stop and a new start in between, and then lets all be well.
func TestNothingIsLostWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		chance := rapid.Float64Range(0, 0.5).Draw(rt, "chance")
		shared := rapid.Bool().Draw(rt, "shared")
		connections := rapid.IntRange(1, 5).Draw(rt, "connections")
		inFlight := rapid.IntRange(1, 300).Draw(rt, "in flight")
		window := rapid.SampledFrom([]int{1, 3, 32}).Draw(rt, "window")
		synctest.Test(t, func(t *testing.T) {
			b := newWorkbench()
			b.stages.shared, b.world.window = shared, window
			b.MaxInFlight, b.MaxConnections, b.Drain = inFlight, 2*connections, time.Second
			b.shape.Default.Connections = connections
			c := &chaos{random: rand.New(rand.NewPCG(seed, 1)), chance: chance, until: time.Now().Add(time.Hour)}
			c.spoil(b)
			accepted := c.submit(b)
			b.start(t)
			time.Sleep(20 * time.Minute)
			b.stop()
			b.start(t)
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			c.check(t, b, accepted)
			b.stop()
		})
	})
}

// chaos is a world in which everything fails now and then. All its methods
// run under the lock of the store or of the world.
type chaos struct {
	random *rand.Rand
	chance float64
	until  time.Time
	// delivered counts positive answers by recipient.
	delivered map[string]int
}

type dice struct{ random chan *rand.Rand }

func (d dice) fall(chance float64) bool {
	r := <-d.random
	defer func() { d.random <- r }()
	return r.Float64() < chance
}

func (c *chaos) submit(b *workbench) int {
	count := 0
	for i := range 60 {
		l := letter{tenant: fmt.Sprint("t", i%3), stream: []string{"transactional", "marketing"}[i%2], body: "x"}
		recipients := addresses(1+i%9, fmt.Sprintf("d%d.example", i%7))
		for j := range recipients {
			recipients[j] = fmt.Sprintf("m%d%s", i, recipients[j])
		}
		b.store.accept(l, recipients...)
		count += len(recipients)
	}
	return count
}

func (c *chaos) spoil(b *workbench) {
	d := dice{make(chan *rand.Rand, 1)}
	d.random <- c.random
	began := time.Now()
	// All is well when the engine stops: what then cannot be written is lost.
	stopping := func() bool { return time.Since(began).Round(2*time.Minute) == 20*time.Minute }
	bad := func() bool { return time.Now().Before(c.until) && !stopping() && d.fall(c.chance) }
	c.delivered = map[string]int{}
	for i := range 4 {
		b.world.via(mail.Domain(fmt.Sprintf("d%d.example", i)), "big", fmt.Sprintf("mx%d.example", i%2), "mx9.example")
	}
	b.shape.Backoff = shape.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.2}
	b.store.fail = func(string) error {
		if bad() {
			return errDisk
		}
		return nil
	}
	b.stages.admit = func(*queue.Delivery) (Verdict, error) {
		if bad() {
			return Verdict{}, errDisk
		}
		return Verdict{}, nil
	}
	b.stages.sign = func([]byte) ([]byte, error) {
		if bad() {
			return nil, errDisk
		}
		return nil, nil
	}
	b.world.dialTime, b.world.sendTime = 10*time.Millisecond, 20*time.Millisecond
	b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error {
		if bad() {
			return errRefused
		}
		return nil
	}
	b.world.send = func(s *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
		answers := make([]smtpclient.Answer, len(t.Recipients))
		for i := range answers {
			if bad() {
				return answers, &smtpclient.Error{Command: []smtpclient.Command{smtpclient.MAIL, smtpclient.Final}[i%2], Err: errors.New("reset")}
			}
			answers[i] = ok
			if bad() {
				answers[i] = answer([]int{421, 450, 452, 451}[i%4], smtpclient.RCPT)
				continue
			}
			c.delivered[t.Recipients[i].Address.String()]++
		}
		return answers, nil
	}
}

func (c *chaos) check(t *testing.T, b *workbench, accepted int) {
	t.Helper()
	counts := b.store.counts()
	if counts[event.Delivered] != accepted || b.store.left() != 0 {
		t.Errorf("%v of %d, %d left", counts, accepted, b.store.left())
	}
	for recipient, n := range c.delivered {
		if n != 1 {
			t.Errorf("%s got %d copies", recipient, n)
		}
	}
	seen := map[string]bool{}
	for _, e := range b.store.events {
		if seen[e.ID] {
			t.Errorf("event %s twice", e.ID)
		}
		seen[e.ID] = true
	}
}

func TestSitesShareBetweenStreamsAndTenants(t *testing.T) {
	for _, window := range []int{1, 10} {
		testSharing(t, window)
	}
}

func testSharing(t *testing.T, window int) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.shape.Default.Connections = 2
		b.world.window, b.world.sendTime = window, time.Duration(window)*10*time.Millisecond
		for range 2000 {
			b.store.accept(letter{tenant: "big", stream: "marketing", body: "x"}, "r@d.example")
		}
		for range 1000 {
			b.store.accept(letter{tenant: "small", stream: "marketing", body: "x"}, "r@d.example")
			b.store.accept(letter{tenant: "small", stream: "transactional", body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(5 * time.Second)
		got := map[string]int{}
		for _, e := range b.store.of(event.Delivered) {
			got[e.Tenant+" "+e.Stream]++
		}
		total := len(b.store.of(event.Delivered))
		for who, share := range map[string]int{"big marketing": 1, "small marketing": 1, "small transactional": 4} {
			if n, want := got[who], total*share/6; n < want*9/10 || n > want*11/10 {
				t.Errorf("%s got %d of %d, want %d", who, n, total, want)
			}
		}
		b.stop()
	})
}

// TestDeadSitesDoNotHoldUpTheLiving: half of the destinations hang in their
// dials, and name resolution fails for others.
func TestDeadSitesDoNotHoldUpTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.world.dialTime = 0
		b.MaxConnections = 50
		for i := range 400 {
			domain := mail.Domain(fmt.Sprintf("d%d.example", i))
			switch i % 4 {
			case 0, 1:
				b.world.via(domain, string(domain), "dead."+string(domain))
			case 2:
				b.world.errs[domain] = &route.Error{Domain: domain, Reply: mail.Reply{Code: 451}, Err: route.ErrResolver}
			}
			for range 10 {
				b.store.accept(letter{body: "x"}, "r@"+string(domain))
			}
		}
		b.world.dial = func(_ netip.AddrPort, host string, _ smtpclient.Options) error {
			if host[:5] == "dead." {
				return errRefused
			}
			return nil
		}
		b.start(t)
		time.Sleep(time.Second)
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1000})
		b.stop()
	})
}
