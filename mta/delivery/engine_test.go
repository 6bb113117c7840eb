package delivery

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// run prepares a workbench in a bubble, runs an engine for a time and ends it.
func run(t *testing.T, lasting time.Duration, prepare func(*workbench), check func(*testing.T, *workbench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		prepare(b)
		b.start(t)
		time.Sleep(lasting)
		synctest.Wait()
		check(t, b)
		b.stop()
	})
}

func addresses(n int, domain string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("r%d@%s", i, domain)
	}
	return all
}

func wantCounts(t *testing.T, b *workbench, want map[event.Type]int) {
	t.Helper()
	got := b.store.counts()
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%d %s events, want %d (all: %v)", got[kind], kind, n, got)
		}
	}
}

func TestDelivers(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.stages.sign = func([]byte) ([]byte, error) { return []byte("DKIM: yes\r\n"), nil }
		b.store.accept(letter{tenant: "a", stream: "s", body: "Subject: x\r\n\r\nhello\r\n"}, "one@d.example", "two@e.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 2})
		for _, m := range b.world.sent {
			if m.body != "DKIM: yes\r\nSubject: x\r\n\r\nhello\r\n" {
				t.Errorf("sent %q", m.body)
			}
		}
		for _, e := range b.store.of(event.Delivered) {
			if e.Site == "" || e.Source != "default" || e.Attempt != 1 || e.Reply == nil || e.Reply.Code != 250 {
				t.Errorf("event %+v", e)
			}
		}
	})
}

func TestSharedRecipientsTravelTogether(t *testing.T) {
	for _, shared := range []bool{true, false} {
		run(t, time.Second, func(b *workbench) {
			b.stages.shared = shared
			b.MaxRecipients = 40
			b.store.accept(letter{body: "x"}, addresses(100, "d.example")...)
		}, func(t *testing.T, b *workbench) {
			wantCounts(t, b, map[event.Type]int{event.Delivered: 100})
			want := 100
			if shared {
				want = 3
			}
			if b.world.transactions != want {
				t.Errorf("shared=%v: %d transactions, want %d", shared, b.world.transactions, want)
			}
			if b.store.reads != 1 {
				t.Errorf("body was read %d times", b.store.reads)
			}
		})
	}
}

// TestSharedNoMore changes the rules between the forming of a batch and its
// rendering: what was made for one reader must reach nobody else.
func TestSharedNoMore(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.stages.shared, b.stages.personal = true, true
		b.store.accept(letter{body: "x"}, addresses(100, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 100})
		if b.world.transactions != 100 {
			t.Errorf("%d transactions for 100 personal messages", b.world.transactions)
		}
	})
}

// TestReturnPath: each recipient has the return path that it was rendered with,
// and the envelope's where it has none; the message itself stays as it was.
func TestReturnPath(t *testing.T) {
	var mu sync.Mutex
	used := map[string]string{}
	run(t, time.Second, func(b *workbench) {
		b.stages.returnPath = func(d *queue.Delivery) mail.Address {
			if d.Recipient.Address.Local() == "r0" {
				return mail.Address{}
			}
			a, err := mail.MakeAddress("b-"+d.Recipient.Address.Local(), "bounce.example")
			if err != nil {
				t.Error(err)
			}
			return a
		}
		b.world.send = func(_ *fakeSession, tx smtpclient.Transaction) ([]smtpclient.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range tx.Recipients {
				used[r.Address.Local()] = tx.Envelope.From.String()
			}
			return all(tx, ok), nil
		}
		b.store.accept(letter{body: "x"}, addresses(20, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 20})
		for local, from := range used {
			if want := "b-" + local + "@bounce.example"; local != "r0" && from != want || local == "r0" && strings.HasPrefix(from, "b-") {
				t.Errorf("%s came from %s", local, from)
			}
		}
		if len(used) != 20 || b.world.transactions != 20 {
			t.Errorf("%d recipients in %d transactions", len(used), b.world.transactions)
		}
	})
}

func TestSharedOverDomainsOfOneSite(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.stages.shared = true
		b.world.sendTime = 50 * time.Millisecond
		b.shape.Default.Connections = 1
		b.world.via("a.example", "big", "mx.big.example")
		b.world.via("b.example", "big", "mx.big.example")
		b.store.accept(letter{body: "first"}, "x@a.example")
		time.Sleep(0)
		b.store.accept(letter{body: "x"}, append(addresses(5, "a.example"), addresses(5, "b.example")...)...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 11})
		if b.world.transactions > 3 {
			t.Errorf("%d transactions", b.world.transactions)
		}
	})
}

func TestFewConnectionsForFewMessages(t *testing.T) {
	for count, most := range map[int]int{1: 1, 3: 2, 1000: 20} {
		run(t, time.Minute, func(b *workbench) {
			b.world.sendTime = 100 * time.Millisecond
			for range count {
				b.store.accept(letter{body: "x"}, "r@d.example")
			}
		}, func(t *testing.T, b *workbench) {
			wantCounts(t, b, map[event.Type]int{event.Delivered: count})
			if b.world.peak > most {
				t.Errorf("%d connections for %d messages", b.world.peak, count)
			}
			if count == 1000 && b.world.peak != most {
				t.Errorf("%d connections of %d for %d messages", b.world.peak, most, count)
			}
		})
	}
}

func TestAnswersBecomeOutcomes(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.stages.shared = true
		b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			return []smtpclient.Answer{ok, answer(550, smtpclient.RCPT), answer(451, smtpclient.RCPT)}, nil
		}
		b.store.accept(letter{body: "x"}, addresses(3, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1, event.Bounced: 1, event.Deferred: 1})
		deferred := b.store.of(event.Deferred)[0]
		if wait := deferred.NextAttempt.Sub(deferred.Time); wait != time.Minute {
			t.Errorf("next attempt after %v", wait)
		}
	})
}

func TestTriesAgainUntilItExpires(t *testing.T) {
	run(t, 24*time.Hour, func(b *workbench) {
		b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			return all(t, answer(450, smtpclient.RCPT)), nil
		}
		b.store.accept(letter{body: "x", maxAge: 10 * time.Minute}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		// after 0, 1, 3 and 7 minutes; the next would be after 15
		wantCounts(t, b, map[event.Type]int{event.Deferred: 3, event.Expired: 1})
		if e := b.store.of(event.Expired)[0]; e.Attempt != 4 || e.Reply == nil || e.Reply.Code != 450 || e.Reason == "" {
			t.Errorf("expired: %+v", e)
		}
	})
}

func TestTooManyRecipientsGoNext(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.stages.shared = true
		b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			answers := all(t, ok)
			for i := range answers {
				if i >= 10 {
					answers[i] = answer(452, smtpclient.RCPT)
				}
			}
			return answers, nil
		}
		b.store.accept(letter{body: "x"}, addresses(100, "d.example")...)
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 100, event.Deferred: 0})
		if b.world.transactions > 11 {
			t.Errorf("%d transactions", b.world.transactions)
		}
	})
}

func TestFailover(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.world.via("d.example", "d", "mx1.d.example", "mx2.d.example")
		b.world.dial = func(_ netip.AddrPort, host string, _ smtpclient.Options) error {
			if host == "mx1.d.example" {
				return errRefused
			}
			return nil
		}
		b.store.accept(letter{body: "x"}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1, event.Deferred: 0})
		if len(b.engine.options.Shaper.Throttles(time.Now())) != 0 {
			t.Error("one dead host throttles the site")
		}
	})
}

// TestUselessHostIsTriedLast: a host that greets and then turns every message
// away is not the first choice of the next attempt.
func TestUselessHostIsTriedLast(t *testing.T) {
	run(t, 2*time.Minute, func(b *workbench) {
		b.world.via("d.example", "d", "mx1.d.example", "mx2.d.example")
		b.world.send = func(s *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			if s.host == "mx1.d.example" {
				return all(t, answer(421, smtpclient.MAIL)), nil
			}
			return all(t, ok), nil
		}
		b.store.accept(letter{body: "x"}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 1, event.Deferred: 1})
	})
}

// TestRoutesMayChangeWhileASiteIsDead: what waits follows the new route, and
// nothing is left behind of the old one.
func TestRoutesMayChangeWhileASiteIsDead(t *testing.T) {
	run(t, 2*time.Hour, func(b *workbench) {
		b.world.via("d.example", "old", "dead.example")
		b.world.dial = func(_ netip.AddrPort, host string, _ smtpclient.Options) error {
			if host == "dead.example" {
				return errRefused
			}
			return nil
		}
		for range 50 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		time.AfterFunc(30*time.Minute, func() { b.world.via("d.example", "new", "live.example") })
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 50})
		if n := b.engine.siteCount(); n != 0 {
			t.Errorf("%d sites are left: %+v", n, b.engine.Sites())
		}
	})
}

func TestBrokenTLSIsDoneWithout(t *testing.T) {
	handshake := &smtpclient.Error{Command: smtpclient.STARTTLS, Err: smtpclient.ErrHandshake}
	for _, floor := range []mail.TLSFloor{mail.TLSOpportunistic, mail.TLSEncrypted, mail.TLSVerified} {
		run(t, time.Second, func(b *workbench) {
			b.world.via("d.example", "d", "mx.d.example")
			b.Options.TLS = mail.TLSOpportunistic
			if floor == mail.TLSVerified {
				b.Options.TLS = floor // of the engine
			} else if floor != mail.TLSOpportunistic {
				b.world.routes["d.example"].Relay = &route.Relay{TLS: floor}
			}
			b.world.dial = func(_ netip.AddrPort, _ string, o smtpclient.Options) error {
				if o.TLS != mail.TLSNone {
					return handshake
				}
				return nil
			}
			b.store.accept(letter{body: "x"}, "r@d.example")
		}, func(t *testing.T, b *workbench) {
			want := map[event.Type]int{event.Delivered: 1}
			if floor != mail.TLSOpportunistic {
				want = map[event.Type]int{event.Delivered: 0, event.Deferred: 1}
			}
			wantCounts(t, b, want)
		})
	}
}

func TestDeadSiteIsProbedNotHammered(t *testing.T) {
	run(t, time.Hour, func(b *workbench) {
		b.shape.Backoff = shape.Backoff{First: 10 * time.Second, Factor: 2, Max: 5 * time.Minute}
		b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error { return errRefused }
		for range 500 {
			b.store.accept(letter{body: "x"}, "r@dead.example")
		}
	}, func(t *testing.T, b *workbench) {
		// 10, 20, 40, 80, 160 seconds, then every five minutes: some 17 probes
		if b.world.dials < 10 || b.world.dials > 25 {
			t.Errorf("%d dials in an hour", b.world.dials)
		}
		if n := b.store.counts()[event.Deferred]; n != b.world.dials {
			t.Errorf("%d deferrals by %d probes", n, b.world.dials)
		}
		if len(b.store.leased) != 0 {
			t.Errorf("%d leases held for a dead site", len(b.store.leased))
		}
		status := b.engine.Sites()
		if len(status) != 1 || len(status[0].Throttles) == 0 || status[0].Routes[0].LastReason == "" {
			t.Errorf("status %+v", status)
		}
		place, ok := b.engine.Where(queue.Key{Domain: "dead.example"})
		if !ok || place.Site != "dead.example" || len(place.Throttles) == 0 {
			t.Errorf("place %+v, %v", place, ok)
		}
	})
}

func TestOwnTroubleCostsNoAttempt(t *testing.T) {
	run(t, time.Hour, func(b *workbench) {
		b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error {
			return &smtpclient.Error{Command: smtpclient.Connect, Scope: mail.ScopeSession, Err: errors.New("cannot assign requested address")}
		}
		b.store.accept(letter{body: "x"}, "r@d.example")
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Deferred: 0})
		if b.world.dials > 25 {
			t.Errorf("%d dials in an hour", b.world.dials)
		}
	})
}

func TestSiteComesBack(t *testing.T) {
	run(t, time.Hour, func(b *workbench) {
		start := time.Now()
		b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error {
			if time.Since(start) < 10*time.Minute {
				return errRefused
			}
			return nil
		}
		for range 500 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 500})
		if n := b.engine.siteCount(); n != 0 {
			t.Errorf("%d sites remembered without work", n)
		}
	})
}

func TestExpiresWhileTheSiteIsDead(t *testing.T) {
	run(t, 40*time.Minute, func(b *workbench) {
		b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error { return errRefused }
		for range 300 {
			b.store.accept(letter{body: "x", maxAge: 30 * time.Minute}, "r@dead.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Expired: 300})
		for _, e := range b.store.of(event.Expired) {
			if late := e.Time.Sub(b.store.events[0].Time); late > 32*time.Minute {
				t.Fatalf("expired after %v", late)
			}
		}
	})
}

func TestDeadRouteSparesTheSite(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.world.via("dead.example", "big", "dead.mx.example")
		b.world.via("live.example", "big", "live.mx.example")
		b.shape.Default.Connections = 2
		b.world.dial = func(_ netip.AddrPort, host string, _ smtpclient.Options) error {
			if host == "dead.mx.example" {
				return errRefused
			}
			return nil
		}
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@dead.example", "r@live.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 100})
	})
}

func TestManyRoutesFewSlots(t *testing.T) {
	run(t, 5*time.Minute, func(b *workbench) {
		b.shape.Default.Connections = 2
		b.world.sendTime = 10 * time.Millisecond
		for i := range 30 {
			domain := fmt.Sprintf("d%d.example", i)
			b.world.via(mail.Domain(domain), "big", "mx."+domain)
			for range 20 {
				b.store.accept(letter{body: "x"}, "r@"+domain)
			}
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 600})
		if b.world.peak > 2 {
			t.Errorf("%d connections", b.world.peak)
		}
	})
}

func TestConnectionsOfAllSitesAreBounded(t *testing.T) {
	run(t, 5*time.Minute, func(b *workbench) {
		b.MaxConnections = 5
		b.world.sendTime = 10 * time.Millisecond
		for i := range 50 {
			for range 100 {
				b.store.accept(letter{body: "x"}, fmt.Sprintf("r@d%d.example", i))
			}
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 5000})
		if b.world.peak > 5 {
			t.Errorf("%d connections", b.world.peak)
		}
	})
}

func TestRateHolds(t *testing.T) {
	run(t, 10*time.Minute, func(b *workbench) {
		b.shape.Default.Rate = shape.Rate{Messages: 30, Per: time.Minute}
		for range 1000 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		if n := b.world.transactions; n < 295 || n > 301 {
			t.Errorf("%d messages in ten minutes at 30 a minute", n)
		}
	})
}

func TestSlowRateHoldsNoLeases(t *testing.T) {
	run(t, 150*time.Minute, func(b *workbench) {
		b.shape.Default.Rate = shape.Rate{Messages: 2, Per: time.Hour}
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		if n := b.world.transactions; n < 5 || n > 6 {
			t.Errorf("%d messages in 2.5 hours at 2 an hour", n)
		}
		if len(b.store.leased) != 0 {
			t.Errorf("%d leases wait for the rate", len(b.store.leased))
		}
	})
}

// TestSlowGoodbyeHoldsUpNobody: mail that comes while an idle connection takes
// its leave goes out on another.
func TestSlowGoodbyeHoldsUpNobody(t *testing.T) {
	run(t, 7*time.Second, func(b *workbench) {
		b.world.quitTime = time.Minute
		b.store.accept(letter{body: "x"}, "r@d.example")
		time.AfterFunc(6*time.Second, func() { b.store.accept(letter{body: "x"}, "r@d.example") })
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 2})
	})
}

func TestMessagesPerConnection(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.shape.Default = shape.Limits{Connections: 1, MessagesPerConnection: 10}
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

func TestStaleConnectionCostsNoAttempt(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.shape.Default.Connections = 1
		b.world.send = func(s *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			if s.count > 3 {
				return make([]smtpclient.Answer, len(t.Recipients)), &smtpclient.Error{Command: smtpclient.MAIL, Scope: mail.ScopeSession, Err: errors.New("EOF")}
			}
			return all(t, ok), nil
		}
		for range 12 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 12, event.Deferred: 0})
	})
}

func TestSessionFailureDefersWhatItCarried(t *testing.T) {
	run(t, 30*time.Second, func(b *workbench) {
		b.shape.Default.Connections = 1
		b.world.send = func(_ *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error) {
			if b.world.transactions == 2 {
				return make([]smtpclient.Answer, len(t.Recipients)), &smtpclient.Error{Command: smtpclient.Final, Scope: mail.ScopeSession, Err: errors.New("reset")}
			}
			return all(t, ok), nil
		}
		for range 5 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 4, event.Deferred: 1})
	})
}

func TestStagesSpeak(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		prepare func(*stages)
		want    event.Type
		reason  string
	}{
		"dropped": {func(s *stages) {
			s.admit = func(*queue.Delivery) (Verdict, error) { return Verdict{true, "suppressed"}, nil }
		}, event.Dropped, "suppressed"},
		"gate broken":    {func(s *stages) { s.admit = func(*queue.Delivery) (Verdict, error) { return Verdict{}, broken } }, event.Deferred, "gate failed"},
		"render broken":  {func(s *stages) { s.render = func(*queue.Delivery, []byte) ([]byte, error) { return nil, broken } }, event.Deferred, "render failed"},
		"signing broken": {func(s *stages) { s.sign = func([]byte) ([]byte, error) { return nil, broken } }, event.Deferred, "sign failed"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, time.Second, func(b *workbench) {
				test.prepare(b.stages)
				b.store.accept(letter{body: "x"}, "r@d.example")
			}, func(t *testing.T, b *workbench) {
				wantCounts(t, b, map[event.Type]int{test.want: 1})
				if e := b.store.of(test.want); len(e) != 1 || e[0].Reason != test.reason {
					t.Errorf("events %+v", e)
				}
				if b.world.transactions != 0 {
					t.Error("it was sent")
				}
			})
		})
	}
}

func TestEightBit(t *testing.T) {
	for name, test := range map[string]struct {
		offered bool
		encode  func([]byte) ([]byte, error)
		want    event.Type
		body    string
		eight   bool
	}{
		"offered":   {true, nil, event.Delivered, "ünder", true},
		"converted": {false, func([]byte) ([]byte, error) { return []byte("=C3=BCnder"), nil }, event.Delivered, "=C3=BCnder", false},
		"refused":   {false, func([]byte) ([]byte, error) { return nil, errors.New("signed content") }, event.Bounced, "", false},
		"no way":    {false, nil, event.Bounced, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, time.Second, func(b *workbench) {
				b.world.extensions.EightBitMIME = test.offered
				b.Encode7Bit = test.encode
				b.store.accept(letter{body: "ünder"}, "r@d.example")
			}, func(t *testing.T, b *workbench) {
				wantCounts(t, b, map[event.Type]int{test.want: 1})
				if test.body == "" {
					e := b.store.of(event.Bounced)[0]
					if e.Reply == nil || e.Reply.String()[:9] != "554 5.6.3" || e.Reason == "" {
						t.Errorf("event %+v", e)
					}
					return
				}
				if m := b.world.sent[0]; m.body != test.body || m.t.Envelope.EightBit != test.eight {
					t.Errorf("sent %q, eight bit %v", m.body, m.t.Envelope.EightBit)
				}
			})
		})
	}
}

func TestRouteErrorsAnswerTheQueue(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		b.world.errs["none.example"] = &route.Error{Domain: "none.example", Reply: mail.Reply{Code: 550}, Err: route.ErrNoDomain}
		b.world.errs["later.example"] = &route.Error{Domain: "later.example", Reply: mail.Reply{Code: 451}, Err: route.ErrResolver}
		for range 300 {
			b.store.accept(letter{body: "x"}, "r@none.example", "r@later.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Bounced: 300, event.Deferred: 300})
		if e := b.store.of(event.Bounced)[0]; !strings.Contains(e.Reason, "does not exist") || e.Reply.Code != 550 {
			t.Errorf("event %+v", e)
		}
	})
}

// TestWaivedPoliciesDoNotKeepMail: where policies leave no host, mail that does
// without them goes out, and the rest waits.
func TestWaivedPoliciesDoNotKeepMail(t *testing.T) {
	run(t, time.Second, func(b *workbench) {
		barred := route.Host{Name: "mx.barred.example", Addrs: []netip.AddrPort{b.world.addr("mx.barred.example")}}
		b.world.errs["barred.example"] = &route.Error{
			Domain: "barred.example", Reply: mail.Reply{Code: 451}, Err: route.ErrPolicy,
			Barred: &route.Route{Site: "barred.example", Barred: []route.Host{barred}},
		}
		for range 300 {
			b.store.accept(letter{body: "x"}, "r@barred.example")
			b.store.accept(letter{body: "y", waiveTLS: true}, "r@barred.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 300, event.Deferred: 300})
		for _, m := range b.world.sent {
			if m.body != "y" || m.host != "mx.barred.example" {
				t.Fatalf("%q was sent to %s", m.body, m.host)
			}
		}
	})
}

// TestWaivedPoliciesWithoutASource wait, and are not asked for again and again.
func TestWaivedPoliciesWithoutASource(t *testing.T) {
	run(t, 10*time.Minute, func(b *workbench) {
		b.world.errs["barred.example"] = &route.Error{
			Domain: "barred.example", Reply: mail.Reply{Code: 451}, Err: route.ErrPolicy,
			Barred: &route.Route{Site: "barred.example", Barred: []route.Host{{
				Name: "mx.barred.example", Addrs: []netip.AddrPort{b.world.addr("mx.barred.example")},
			}}},
		}
		b.Sources = pools(t, "all: one")
		b.Sources.Suspend(time.Now(), source.Suspension{Source: "one", Name: source.SuspendedOperator, Until: time.Now().Add(time.Hour)})
		b.store.accept(letter{body: "y", waiveTLS: true}, "r@barred.example")
	}, func(t *testing.T, b *workbench) {
		if b.world.transactions != 0 {
			t.Error("it was sent without a source that can")
		}
		if n := len(b.store.of(event.Deferred)); n == 0 || n > 20 {
			t.Errorf("deferred %d times", n)
		}
	})
}

func TestOutcomesSurviveAFailingStore(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		start := time.Now()
		b.MaxInFlight = 10
		b.store.fail = func(operation string) error {
			if (operation == "settle" || operation == "defer") && time.Since(start) < 20*time.Second {
				return errDisk
			}
			return nil
		}
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 100})
		if b.world.transactions != 100 {
			t.Errorf("%d transactions", b.world.transactions)
		}
		// ten, what the workers hold, and one each beyond
		if b.store.peak > 10+20*5 {
			t.Errorf("%d leases at once", b.store.peak)
		}
	})
}

func TestLeasesAreBounded(t *testing.T) {
	run(t, time.Minute, func(b *workbench) {
		b.MaxInFlight = 200
		b.shape.Default.Connections = 5
		b.world.sendTime = 10 * time.Millisecond
		for i := range 20 {
			for range 500 {
				b.store.accept(letter{body: "x"}, fmt.Sprintf("r@d%d.example", i))
			}
		}
	}, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 10_000})
		if b.store.peak > 200+20*5*3 {
			t.Errorf("%d leases at once", b.store.peak)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.world.sendTime = 10 * time.Second
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(time.Second)
		b.stop()
		n := b.store.counts()[event.Delivered]
		if n == 0 || n != b.world.transactions || n > 20 {
			t.Errorf("%d delivered of %d sent while draining", n, b.world.transactions)
		}
		if left := b.store.left(); left != 100-n {
			t.Errorf("%d left", left)
		}
	})
}

func TestDrainHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.Drain = 5 * time.Second
		b.world.sendTime = time.Hour
		for range 10 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(time.Second)
		began := time.Now()
		b.stop()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("drained in %v", took)
		}
		wantCounts(t, b, map[event.Type]int{event.Delivered: 0, event.Deferred: 0})
		if b.store.left() != 10 {
			t.Errorf("%d left", b.store.left())
		}
	})
}

func TestLiftGoesOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		dead := true
		b.world.dial = func(netip.AddrPort, string, smtpclient.Options) error {
			if dead {
				return errRefused
			}
			return nil
		}
		for range 5 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(time.Second)
		synctest.Wait()
		b.world.mu.Lock()
		dead = false
		b.world.mu.Unlock()
		if n := b.engine.Lift("d.example", ""); n == 0 {
			t.Error("nothing to lift")
		}
		time.Sleep(time.Second)
		n := b.store.counts()
		if n[event.Deferred] > 2 || n[event.Delivered] != 5-n[event.Deferred] {
			t.Errorf("events %v", n)
		}
		b.stop()
	})
}

// TestGivesUpOnADeadStore ends in time even where the store takes nothing.
func TestGivesUpOnADeadStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.Drain = 10 * time.Second
		b.store.fail = func(operation string) error {
			if operation == "settle" {
				return errDisk
			}
			return nil
		}
		b.store.accept(letter{body: "x"}, "r@d.example")
		b.start(t)
		time.Sleep(time.Second)
		began := time.Now()
		b.cancel()
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestEndsWithItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench()
		b.world.sendTime = time.Second
		for range 50 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.start(t)
		time.Sleep(1500 * time.Millisecond)
		b.store.mu.Lock()
		b.store.closed = true
		b.store.mu.Unlock()
		b.store.changed()
		if err := <-b.done; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		b.cancel()
	})
}

func TestIncompleteOptions(t *testing.T) {
	if _, err := New(Options{}); !errors.Is(err, ErrOptions) {
		t.Errorf("error %v", err)
	}
}
