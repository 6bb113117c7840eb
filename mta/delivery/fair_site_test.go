package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

// rivalry is a site that several tenants and streams have more for than it
// takes, and some that come with little.
type rivalry struct {
	connections int
	sendTime    time.Duration
	// batch is how many recipients travel together.
	batch int
	// crowds have a backlog from the beginning.
	crowds []crowd
	// guests come later, each with a message or two.
	guests []guest
}

type crowd struct {
	flowKey
	weight int
}

type guest struct {
	flowKey
	weight int
	after  time.Duration
	count  int
}

const (
	rivalTime = 6 * time.Second
	// ahead is how many messages a connection may have taken that are not
	// answered: one under way, one ready, and one on its way between.
	ahead = 3
)

func drawRivalry(r *rapid.T) rivalry {
	weight := rapid.IntRange(1, 8)
	v := rivalry{
		connections: rapid.IntRange(1, 6).Draw(r, "connections"),
		sendTime:    time.Duration(rapid.IntRange(50, 120).Draw(r, "milliseconds a message")) * time.Millisecond,
		batch:       1,
	}
	if rapid.Bool().Draw(r, "shared") {
		v.batch = rapid.IntRange(2, 10).Draw(r, "batch")
	}
	for tenant := range rapid.IntRange(1, 4).Draw(r, "tenants") {
		for _, stream := range []string{account.Transactional, account.Marketing} {
			if stream == account.Marketing || rapid.Bool().Draw(r, "both streams") {
				v.crowds = append(v.crowds, crowd{flowKey{fmt.Sprint("tenant", tenant), stream}, weight.Draw(r, "weight")})
			}
		}
	}
	for n := range rapid.IntRange(1, 3).Draw(r, "guests") {
		v.guests = append(v.guests, guest{
			flowKey{fmt.Sprint("guest", n), rapid.SampledFrom([]string{account.Transactional, account.Marketing}).Draw(r, "stream")},
			weight.Draw(r, "weight"),
			time.Duration(rapid.IntRange(1000, 4500).Draw(r, "after")) * time.Millisecond,
			rapid.IntRange(1, 2).Draw(r, "count"),
		})
	}
	return v
}

func (v *rivalry) weight(tenant, stream string) int {
	name := flowKey{tenant, stream}
	for _, c := range v.crowds {
		if c.flowKey == name {
			return c.weight
		}
	}
	for _, g := range v.guests {
		if g.flowKey == name {
			return g.weight
		}
	}
	return 1
}

// enough is more than the whole site can take.
func (v *rivalry) enough() int {
	return v.connections * v.batch * (int(rivalTime/v.sendTime) + 2*ahead)
}

const rivalDomains = 3

func rivalDomain(n int) string { return fmt.Sprintf("d%d.example", n%rivalDomains) }

// pile hands a message to so many recipients in.
func pile(b *workbench, name flowKey, recipients int) {
	all := make([]string, recipients)
	for i := range all {
		all[i] = fmt.Sprintf("r%d@%s", i, rivalDomain(i))
	}
	b.store.accept(letter{tenant: name.tenant, stream: name.stream, body: "x"}, all...)
}

// play lets all of it happen, and returns what was delivered and when.
func (v *rivalry) play(t *testing.T) (events []event.Event, came map[flowKey]time.Time) {
	came = map[flowKey]time.Time{}
	run(t, 0, func(b *workbench) {
		b.Weight, b.MaxRecipients = v.weight, v.batch
		b.stages.shared = v.batch > 1
		b.world.sendTime, b.world.forget = v.sendTime, true
		b.shape.Default.Connections = v.connections
		for i := range rivalDomains {
			b.world.via(mail.Domain(rivalDomain(i)), "big", "mx.big.example")
		}
		for _, c := range v.crowds {
			pile(b, c.flowKey, v.enough())
		}
	}, func(t *testing.T, b *workbench) {
		begin := time.Now()
		for _, g := range v.guests {
			time.AfterFunc(g.after, func() {
				b.store.mu.Lock()
				came[g.flowKey] = time.Now()
				b.store.mu.Unlock()
				pile(b, g.flowKey, g.count)
			})
		}
		time.Sleep(time.Until(begin.Add(rivalTime)))
		synctest.Wait()
		events = b.store.of(event.Delivered)
	})
	return events, came
}

// TestSiteIsSharedFairly proves, over random tenants, streams, weights and
// arrivals, that those with a backlog get their shares, and that the first
// message of anybody else leaves within a second.
func TestSiteIsSharedFairly(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := drawRivalry(r)
		events, came := v.play(t)
		taken, first := map[flowKey]int{}, map[flowKey]time.Time{}
		for _, e := range events {
			name := flowKey{e.Tenant, e.Stream}
			if taken[name]++; taken[name] == 1 {
				first[name] = e.Time
			}
		}
		v.wantShares(r, taken)
		for _, g := range v.guests {
			if at, ok := first[g.flowKey]; !ok || at.Sub(came[g.flowKey]) > time.Second {
				r.Fatalf("%+v: the first message of %v left after %s", v, g, at.Sub(came[g.flowKey]))
			}
		}
	})
}

func (v *rivalry) wantShares(r *rapid.T, taken map[flowKey]int) {
	under := float64((1 + ahead*v.connections) * v.batch)
	for _, a := range v.crowds {
		for _, b := range v.crowds {
			x, y := float64(taken[a.flowKey])/float64(a.weight), float64(taken[b.flowKey])/float64(b.weight)
			if x-y > 2*quantum+under/float64(a.weight)+under/float64(b.weight) {
				r.Fatalf("%+v: %v got %d, %v got %d", v, a, taken[a.flowKey], b, taken[b.flowKey])
			}
		}
	}
}

// Without a word in the configuration transactional mail gets four times what
// marketing gets, which is not starved, and what comes first of it goes first.
func TestTransactionalOvertakesMarketing(t *testing.T) {
	marketing, transactional := flowKey{"shop", account.Marketing}, flowKey{"shop", account.Transactional}
	for _, other := range []flowKey{transactional, {"bank", account.Transactional}} {
		run(t, 10*time.Second, func(b *workbench) {
			b.shape.Default.Connections = 2
			b.world.sendTime = 50 * time.Millisecond
			for i := range rivalDomains {
				b.world.via(mail.Domain(rivalDomain(i)), "big", "mx.big.example")
			}
			pile(b, marketing, 2000)
			time.AfterFunc(5*time.Second, func() { pile(b, other, 2000) })
		}, func(t *testing.T, b *workbench) {
			begin := b.store.of(event.Delivered)[0].Time
			taken := map[flowKey]int{}
			waited := time.Duration(0)
			for _, e := range b.store.of(event.Delivered) {
				if since := e.Time.Sub(begin) - 5*time.Second; since > 0 {
					name := flowKey{e.Tenant, e.Stream}
					if taken[name]++; name == other && taken[name] == 1 {
						waited = since
					}
				}
			}
			if waited > time.Second {
				t.Errorf("the first message of %v waited %s", other, waited)
			}
			if m, o := taken[marketing], taken[other]; m == 0 || o < 3*m || o > 5*m {
				t.Errorf("marketing got %d, transactional %d", m, o)
			}
		})
	}
}
