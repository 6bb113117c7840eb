package shape

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// receiver is a simulated provider.
type receiver interface {
	// greet answers a new connection; zero lets it in.
	greet(now time.Time) mail.Reply
	// take answers a message, after a time.
	take(now time.Time) (mail.Reply, time.Duration)
	// leave ends a connection that was let in.
	leave()
}

// load is endless mail for one receiver, sent by as many workers as it can be
// of use, each as delivery's are.
type load struct {
	shaper   *Shaper
	to       Target
	receiver receiver
	workers  int
	// perConnection messages before a worker hangs up.
	perConnection int
	// dial is how long a connection takes.
	dial time.Duration
	// flight is how many messages are under way on one connection; 1 if zero.
	flight int

	mu                         sync.Mutex
	accepted, refused, tooMany int
}

func (l *load) run(until time.Time) {
	var group sync.WaitGroup
	for range l.workers {
		group.Go(func() {
			for time.Now().Before(until) {
				l.connection(until)
			}
		})
	}
	group.Wait()
}

// connection is one worker's part from Connect to Close.
func (l *load) connection(until time.Time) {
	slot, wait := l.shaper.Connect(time.Now(), l.to)
	if slot == nil {
		time.Sleep(min(max(wait, time.Second), time.Minute))
		return
	}
	defer func() { slot.Close(time.Now()) }()
	time.Sleep(l.dial)
	if reply := l.receiver.greet(time.Now()); !reply.IsZero() {
		l.count(&l.tooMany)
		slot.Fail(time.Now(), "the server turned the connection away", reply)
		return
	}
	defer l.receiver.leave()
	slot.Establish()
	if l.flight > 1 {
		l.stream(slot, until)
		return
	}
	for range l.perConnection {
		if !l.message(slot) || slot.Surplus(time.Now()) || !time.Now().Before(until) {
			return
		}
	}
}

// message sends one, and reports whether the connection can carry more.
func (l *load) message(slot *Slot) bool {
	for wait := slot.Take(time.Now()); wait > 0; wait = slot.Take(time.Now()) {
		if wait > 5*time.Second {
			return false
		}
		time.Sleep(wait)
	}
	reply, latency := l.receiver.take(time.Now())
	time.Sleep(latency)
	slot.Report(time.Now(), Outcome{Reply: reply, Tenant: "shop", Campaign: "spring"})
	switch {
	case reply.Code == 421:
		l.count(&l.refused)
		slot.Fail(time.Now(), "the server ended the session", reply)
		return false
	case reply.Positive():
		l.count(&l.accepted)
	default:
		l.count(&l.refused)
	}
	slot.Succeed()
	return true
}

// stream sends without waiting for answers, as far as flight allows.
func (l *load) stream(slot *Slot, until time.Time) {
	var group sync.WaitGroup
	defer group.Wait()
	free := make(chan struct{}, l.flight)
	for range l.perConnection {
		free <- struct{}{}
		for wait := slot.Take(time.Now()); wait > 0; wait = slot.Take(time.Now()) {
			if wait > 5*time.Second || !time.Now().Before(until) {
				return
			}
			time.Sleep(wait)
		}
		reply, latency := l.receiver.take(time.Now())
		group.Go(func() {
			time.Sleep(latency)
			slot.Report(time.Now(), Outcome{Reply: reply})
			if reply.Positive() {
				l.count(&l.accepted)
			} else {
				l.count(&l.refused)
			}
			slot.Succeed()
			<-free
		})
		if slot.Surplus(time.Now()) {
			return
		}
	}
}

func (l *load) count(what *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*what++
}

// simulate runs a load in a bubble, and returns what was accepted in a second
// and what share of the messages and connections was refused.
func simulate(t *testing.T, options Options, r receiver, length time.Duration) (perSecond, refused float64) {
	t.Helper()
	return simulateFlights(t, options, r, length, 1)
}

func simulateFlights(t *testing.T, options Options, r receiver, length time.Duration, flight int) (perSecond, refused float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		options.Categorize = categorizer()
		l := &load{
			shaper: New(options), to: Target{"s", "example.net", "mx.example.net"}, receiver: r,
			workers: 14, perConnection: 100, dial: 50 * time.Millisecond, flight: flight,
		}
		l.run(time.Now().Add(length))
		perSecond = float64(l.accepted) / length.Seconds()
		refused = float64(l.refused+l.tooMany) / float64(l.accepted+l.refused+l.tooMany)
		if n := l.shaper.probes.Load(); n != 0 {
			t.Errorf("%d probes are under way at the end", n)
		}
	})
	return perSecond, refused
}

func taken() mail.Reply { return mail.Reply{Code: 250, Text: "taken"} }

// bucket takes so many messages a second, and some more at once.
type bucket struct {
	mu         sync.Mutex
	rate, size float64
	tokens     float64
	at         time.Time
	latency    time.Duration
	refusal    mail.Reply
	filled     bool
}

func (b *bucket) greet(time.Time) mail.Reply { return mail.Reply{} }
func (b *bucket) leave()                     {}

func (b *bucket) take(now time.Time) (mail.Reply, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.filled {
		b.filled, b.tokens, b.at = true, b.size, now
	}
	b.tokens = min(b.size, b.tokens+b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return b.refusal, b.latency
	}
	b.tokens--
	return taken(), b.latency
}

func slowDown() mail.Reply {
	return mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 1}, Text: "rate limit exceeded, slow down"}
}

func vague() mail.Reply {
	return mail.Reply{Code: 421, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 0}, Text: "try again later"}
}

// TestFindsTheRate: a provider that takes so much a second gets it, and little
// more.
func TestFindsTheRate(t *testing.T) {
	providers := shipped(t)
	closing := slowDown()
	closing.Code = 421
	for _, c := range []struct {
		rate, size float64
		refusal    mail.Reply
		length     time.Duration
	}{
		{0.5, 5, slowDown(), 4 * time.Hour},
		{2, 20, closing, 2 * time.Hour},
		{5, 10, slowDown(), time.Hour},
		{5, 200, slowDown(), time.Hour},
		{5, 10, vague(), time.Hour},
		{5, 100, closing, time.Hour},
		{50, 50, slowDown(), 8 * time.Minute},
	} {
		t.Run(fmt.Sprint(c.rate, "/s burst ", c.size, " ", c.refusal.Code), func(t *testing.T) {
			t.Parallel()
			b := &bucket{rate: c.rate, size: c.size, refusal: c.refusal, latency: 100 * time.Millisecond}
			got, refused := simulate(t, Options{Providers: providers}, b, c.length)
			t.Logf("%.2f/s of %.2f/s, %.2f %% refused", got, c.rate, 100*refused)
			if got < 0.9*c.rate || refused > 0.02 {
				t.Error("outside of the bounds")
			}
		})
	}
}

// TestFindsTheRateWithMuchUnderWay: many refusals of one moment are no more
// than one.
func TestFindsTheRateWithMuchUnderWay(t *testing.T) {
	b := &bucket{rate: 10, size: 50, refusal: slowDown(), latency: 500 * time.Millisecond}
	got, refused := simulateFlights(t, Options{Providers: shipped(t)}, b, 2*time.Hour, 16)
	t.Logf("%.2f/s of %.2f/s, %.2f %% refused", got, b.rate, 100*refused)
	if got < 0.9*b.rate || refused > 0.02 {
		t.Error("outside of the bounds")
	}
}

// door lets in so many connections at once.
type door struct {
	mu      sync.Mutex
	limit   int
	open    int
	latency time.Duration
	refusal mail.Reply
}

func (d *door) greet(time.Time) mail.Reply {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.limit {
		return d.refusal
	}
	d.open++
	return mail.Reply{}
}

func (d *door) take(time.Time) (mail.Reply, time.Duration) { return taken(), d.latency }

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
}

// TestFindsTheConnections: a provider that takes so many connections gets them.
func TestFindsTheConnections(t *testing.T) {
	providers := shipped(t)
	for _, c := range []struct {
		limit   int
		latency time.Duration
		refusal mail.Reply
	}{
		{1, time.Second, mail.Reply{Code: 421, Text: "Too many concurrent SMTP connections"}},
		{5, 200 * time.Millisecond, mail.Reply{Code: 421, Text: "Too many concurrent SMTP connections"}},
		{5, 2 * time.Second, mail.Reply{Code: 421, Text: "Service not available"}},
		{12, 500 * time.Millisecond, mail.Reply{Code: 554, Text: "No SMTP service here"}},
	} {
		t.Run(fmt.Sprint(c.limit, " ", c.refusal), func(t *testing.T) {
			t.Parallel()
			d := &door{limit: c.limit, latency: c.latency, refusal: c.refusal}
			got, refused := simulate(t, Options{Providers: providers}, d, 20*time.Minute)
			best := float64(c.limit) / c.latency.Seconds()
			t.Logf("%.2f/s of %.2f/s, %.2f %% refused", got, best, 100*refused)
			if got < 0.9*best || refused > 0.02 {
				t.Error("outside of the bounds")
			}
		})
	}
}

// TestTarpitIsNotPressed: a server that takes its time is given all the
// connections it may have, and is not taken for one that refuses.
func TestTarpitIsNotPressed(t *testing.T) {
	d := &door{limit: 1000, latency: 30 * time.Second}
	got, refused := simulate(t, Options{Providers: shipped(t), Default: Limits{Connections: 10}}, d, 2*time.Hour)
	if best := 10.0 / 30; got < 0.9*best || refused > 0 {
		t.Errorf("%.3f/s of %.3f/s, %.2f %% refused", got, best, 100*refused)
	}
}

// judge has an opinion of the sender, which falls with what is sent above what
// it likes, and falls further with what is sent while it defers. It takes less
// the less it thinks of him.
type judge struct {
	bucket
	likes      float64
	reputation float64
	seen       time.Time
}

func (j *judge) take(now time.Time) (mail.Reply, time.Duration) {
	j.mu.Lock()
	if j.seen.IsZero() {
		j.reputation, j.seen = 1, now
	}
	j.reputation = min(1, j.reputation+now.Sub(j.seen).Seconds()/600)
	j.seen = now
	j.rate = j.likes * j.reputation
	j.mu.Unlock()
	reply, latency := j.bucket.take(now)
	if !reply.Positive() {
		j.mu.Lock()
		j.reputation = max(0.2, j.reputation-0.02)
		j.mu.Unlock()
	}
	return reply, latency
}

// TestReputationIsKept: pressing on would cost more and more.
func TestReputationIsKept(t *testing.T) {
	refusal := mail.Reply{Code: 421, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 0}, Text: "Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints"}
	for _, refusal := range []mail.Reply{refusal, slowDown()} {
		j := &judge{bucket: bucket{size: 20, refusal: refusal, latency: 100 * time.Millisecond}, likes: 5}
		got, refused := simulate(t, Options{Providers: shipped(t)}, j, 2*time.Hour)
		t.Logf("%.2f/s of %.2f/s, %.2f %% refused", got, j.likes, 100*refused)
		if got < 0.9*j.likes || refused > 0.02 {
			t.Error("outside of the bounds")
		}
	}
}

// greylist turns away the first attempt of every message: as there are
// endlessly many, every second try.
type greylist struct {
	door
	tries int
}

func (g *greylist) take(time.Time) (mail.Reply, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries++
	if g.tries%2 == 1 {
		return mail.Reply{Code: 450, Enhanced: mail.EnhancedCode{Class: 4, Subject: 2, Detail: 0}, Text: "Greylisted, please try again in 300 seconds"}, g.latency
	}
	return taken(), g.latency
}

// TestGreylistingIsNoPressure: first attempts that are turned away slow nothing
// down.
func TestGreylistingIsNoPressure(t *testing.T) {
	g := &greylist{door: door{limit: 1000, latency: 100 * time.Millisecond}}
	got, refused := simulate(t, Options{Providers: shipped(t), Default: Limits{Connections: 10}}, g, 5*time.Minute)
	if best := 10 / 0.1 / 2; got < 0.9*best || refused > 0.501 {
		t.Errorf("%.2f/s of %.2f/s, %.2f %% refused", got, best, 100*refused)
	}
}
