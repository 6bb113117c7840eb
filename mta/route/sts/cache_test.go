package sts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	domain = mail.Domain("a.example")
	day    = 24 * time.Hour
)

func want(t *testing.T, found Found, mode Mode, id string, cause error) {
	t.Helper()
	if found.Policy.Mode != mode || found.ID != id || !errors.Is(found.Err, cause) || cause == nil && found.Err != nil {
		t.Errorf("found %+v, want mode %q, id %q, error %v", found, mode, id, cause)
	}
}

func TestPolicyIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example"))
		c := w.cache(t, nil)
		for range 3 {
			want(t, c.Lookup(t.Context(), domain), Enforce, "1", nil)
		}
		if n := w.fetched(domain); n != 1 {
			t.Errorf("%d fetches", n)
		}
		want(t, c.Lookup(t.Context(), "other.example"), "", "", nil)
		if n := w.fetched("other.example"); n != 0 {
			t.Errorf("%d fetches without a record", n)
		}
	})
}

func TestNewIDBringsNewPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example"))
		c := w.cache(t, nil)
		c.Lookup(t.Context(), domain)
		w.publish(domain, "2", Policy{Mode: None, MaxAge: day})
		want(t, c.Lookup(t.Context(), domain), None, "2", nil)
	})
}

func TestLivePolicyOutlivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example"))
		c := w.cache(t, nil)
		c.Lookup(t.Context(), domain)
		w.publish(domain, "2", Policy{})
		w.set(func() { w.errs[domain] = fmt.Errorf("%w: status 500", ErrFetch) })
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", ErrFetch)
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", ErrFetch)
		if n := w.fetched(domain); n != 2 {
			t.Errorf("%d fetches, want the failed one not repeated at once", n)
		}
		w.set(func() { w.texts["_mta-sts.a.example"] = nil })
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", nil)
		w.set(func() { w.texts["_mta-sts.a.example"] = []string{"v=STSv1;"} })
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", ErrInvalid)
		down := errors.New("no name server")
		w.set(func() { w.dnsErr = down })
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", down)
		time.Sleep(7*day + time.Second)
		want(t, c.Lookup(t.Context(), domain), "", "", down)
	})
}

func TestFailureIsRememberedForItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", Policy{})
		w.set(func() { w.errs[domain] = fmt.Errorf("%w: no mode", ErrInvalid) })
		c := w.cache(t, nil)
		for range 3 {
			want(t, c.Lookup(t.Context(), domain), "", "", ErrInvalid)
		}
		if n := w.fetched(domain); n != 1 {
			t.Errorf("%d fetches within the retry time", n)
		}
		time.Sleep(5*time.Minute + time.Second)
		c.Lookup(t.Context(), domain)
		c.Lookup(t.Context(), domain)
		if n := w.fetched(domain); n != 2 {
			t.Errorf("%d fetches after it", n)
		}
		w.publish(domain, "2", enforce(day, "mx.a.example"))
		w.set(func() { delete(w.errs, domain) })
		want(t, c.Lookup(t.Context(), domain), Enforce, "2", nil)
	})
}

func TestSlowPolicyHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish("slow.example", "1", enforce(7*day, "mx.a.example"))
		w.publish("fast.example", "1", enforce(7*day, "mx.a.example"))
		w.set(func() { w.slow["slow.example"] = 20 * time.Second })
		c := w.cache(t, nil)
		begun := time.Now()
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() { want(t, c.Lookup(t.Context(), "slow.example"), "", "", ErrFetch) })
		}
		synctest.Wait()
		want(t, c.Lookup(t.Context(), "fast.example"), Enforce, "1", nil)
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("another domain waited %v", waited)
		}
		callers.Wait()
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("waited %v, want the patience", waited)
		}
		// Nobody's patience is tried again by the same fetch.
		c.Lookup(t.Context(), "slow.example")
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("waited again, %v in all", waited)
		}
		time.Sleep(16 * time.Second)
		want(t, c.Lookup(t.Context(), "slow.example"), Enforce, "1", nil)
		if n := w.fetched("slow.example"); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(3*day, "mx.a.example"))
		c := w.cache(t, nil)
		c.Lookup(t.Context(), domain)
		// Nobody asks for ten days, and the policy still holds.
		time.Sleep(10 * day)
		if n := w.fetched(domain); n < 9 || n > 11 {
			t.Errorf("%d fetches in ten days, want one a day", n)
		}
		w.set(func() { w.errs[domain] = ErrFetch })
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", nil)
		before := w.fetched(domain)
		time.Sleep(2 * day)
		if n := w.fetched(domain) - before; n < 3 || n > 14 {
			t.Errorf("%d attempts at a host that fails for two days", n)
		}
		want(t, c.Lookup(t.Context(), domain), Enforce, "1", nil)
		time.Sleep(2 * day)
		want(t, c.Lookup(t.Context(), domain), "", "", ErrFetch)
	})
}

func TestNoRefreshWithoutRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(2*day, "mx.a.example"))
		c := w.cache(t, nil)
		c.Lookup(t.Context(), domain)
		w.set(func() { w.texts = map[string][]string{} })
		time.Sleep(10 * day)
		if n := w.fetched(domain); n != 1 {
			t.Errorf("%d fetches", n)
		}
		if stats := c.Stats(); stats.Entries != 0 {
			t.Errorf("%+v: the policy that ended is still there", stats)
		}
	})
}

func TestShortMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(0, "mx.a.example"))
		c := w.cache(t, nil)
		for range 60 {
			want(t, c.Lookup(t.Context(), domain), Enforce, "1", nil)
			time.Sleep(time.Second)
		}
		if n := w.fetched(domain); n != 1 {
			t.Errorf("%d fetches in a minute", n)
		}
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example", "*.b.example"))
		w.publish("short.example", "1", enforce(time.Hour, "mx.a.example"))
		c := w.cache(t, nil)
		before := c.Lookup(t.Context(), domain)
		c.Lookup(t.Context(), "short.example")
		c.Close()
		time.Sleep(2 * time.Hour)
		w.set(func() { w.errs[domain] = ErrFetch; w.dnsErr = errors.New("down") })
		c = w.cache(t, nil)
		after := c.Lookup(t.Context(), domain)
		if after.Policy.Mode != Enforce || fmt.Sprint(after.Policy) != fmt.Sprint(before.Policy) || !after.Expires.Equal(before.Expires) {
			t.Errorf("%+v\nbefore the restart %+v", after, before)
		}
		want(t, c.Lookup(t.Context(), "short.example"), "", "", w.dnsErr)
	})
}

func TestSavesAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example"))
		c := w.cache(t, nil)
		c.Lookup(t.Context(), domain)
		w.set(func() { w.saveErr = errors.New("disk full") })
		time.Sleep(90 * time.Second)
		if data, _ := w.Load(); data != nil {
			t.Errorf("saved %s", data)
		}
		w.set(func() { w.saveErr = nil })
		time.Sleep(time.Minute)
		data, _ := w.Load()
		entries, bad, err := decode(data, time.Now(), day)
		if err != nil || bad != 0 || len(entries) != 1 {
			t.Errorf("saved %s: %d, %v", data, bad, err)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.cache(t, func(o *Options) { o.Entries, o.Octets = 10, 20_000 })
		for i := range 30 {
			d := mail.Domain(fmt.Sprintf("d%d.example", i))
			w.publish(d, "1", enforce(7*day, "mx.a.example"))
			c.Lookup(t.Context(), d)
		}
		if n := c.Stats().Entries; n != 10 {
			t.Errorf("%d entries", n)
		}
		var huge []string
		for i := range 1000 {
			huge = append(huge, fmt.Sprintf("mx%d.example", i))
		}
		w.publish("huge.example", "1", enforce(7*day, huge...))
		c.Lookup(t.Context(), "huge.example")
		if n := c.Stats().Entries; n != 1 {
			t.Errorf("%d entries beside one that is over the bound alone", n)
		}
	})
}

func TestCloseEndsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(domain, "1", enforce(7*day, "mx.a.example"))
		w.set(func() { w.slow[domain] = 30 * day })
		c := w.cache(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var caller sync.WaitGroup
		caller.Go(func() { c.Lookup(ctx, domain) })
		synctest.Wait()
		cancel()
		caller.Wait()
		begun := time.Now()
		c.Close()
		if time.Since(begun) != 0 {
			t.Error("waited for the policy host")
		}
		want(t, c.Lookup(t.Context(), domain), "", "", ErrFetch)
	})
}
