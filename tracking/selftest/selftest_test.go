package selftest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/tracking/selftest"
	"github.com/postrider-mta/postrider/tracking/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop, bank = "https://t.shop.example", "https://t.bank.example"

var errDown = errors.New("connection refused")

func keyring(t testing.TB) *token.Keyring {
	t.Helper()
	ring, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// world is the outside as probes see it.
type world struct {
	*testing.T
	*selftest.Domains
	registry *prometheus.Registry
	stop     func()

	mutex  sync.Mutex
	log    bytes.Buffer
	down   map[string]error
	probes map[string][]time.Time
}

func (w *world) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.log.Write(p)
}

func (w *world) said(text string) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return strings.Count(w.log.String(), text)
}

func (w *world) set(url string, err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.down[url] = err
}

func (w *world) probe(_ context.Context, url string) (selftest.Answer, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.probes[url] = append(w.probes[url], time.Now())
	return selftest.Answer{}, w.down[url]
}

func (w *world) count(url string) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return len(w.probes[url])
}

// probed is the time of one of a domain's probes.
func (w *world) probed(url string, n int) time.Time {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.probes[url][n]
}

func (w *world) state(url string) selftest.State {
	for _, s := range w.States() {
		if s.URL == url {
			return s
		}
	}
	return selftest.State{}
}

// usable asks without waiting for longer than Grace.
func (w *world) usable(url string) bool { return w.Usable(w.Context(), url) }

func newWorld(t *testing.T) *world {
	w := &world{T: t, registry: prometheus.NewRegistry(), down: map[string]error{}, probes: map[string][]time.Time{}}
	var err error
	w.Domains, err = selftest.New(selftest.Options{
		Keys: keyring(t), Probe: w.probe, Logger: slog.New(slog.NewTextHandler(w, nil)), Registerer: w.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run probes until the end of the test.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Domains.Run(ctx); err != nil {
			w.Error(err)
		}
	}()
	w.stop = func() { cancel(); <-done }
}

// TestMailWaitsForTheFirstAnswer proves that mail of a domain that answers
// loses nothing at a start, and that mail of one that does not waits no longer
// than Grace.
func TestMailWaitsForTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(bank, errDown)
		w.Set(true, []string{shop, bank})
		results := make(chan string, 2)
		began := time.Now()
		for _, url := range []string{shop, bank} {
			if !w.Given(url) {
				t.Errorf("%s is given up before it was asked", url)
			}
			go func() { results <- fmt.Sprint(url, w.usable(url), time.Since(began)) }()
		}
		time.Sleep(time.Second)
		w.run()
		if got := <-results; got != fmt.Sprint(shop, true, time.Second) {
			t.Error(got)
		}
		if got := <-results; got != fmt.Sprint(bank, false, selftest.Grace) {
			t.Error(got)
		}
		time.Sleep(time.Second)
		again := time.Now()
		if w.usable(bank) || time.Since(again) != 0 || w.Given(bank) {
			t.Error("mail waits again for a domain that has failed")
		}
		w.stop()
	})
}

// TestOneFailureChangesNothing proves how long and how often a domain must fail
// that has worked, what is told, and that one success is enough to come back.
func TestOneFailureChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Set(true, []string{shop, bank})
		w.run()
		synctest.Wait()
		w.set(shop, errDown)
		time.Sleep(72 * time.Second) // the next probe has come
		if s := w.state(shop); s.Failures == 0 || s.Failure == "" || s.Status != selftest.Working || !w.usable(shop) {
			t.Errorf("after a failure: %+v", s)
		}
		for w.usable(shop) {
			time.Sleep(time.Second)
		}
		s := w.state(shop)
		after := s.Since.Sub(w.probed(shop, 1)) // its first failure
		if s.Status != selftest.Failing || s.Failures < selftest.FailTimes || after < selftest.FailFor || after > selftest.FailFor+30*time.Second {
			t.Errorf("gave up after %v: %+v", after, s)
		}
		time.Sleep(time.Hour)
		if n := w.said("does not answer"); n != 1 || w.said("connection refused") != 1 {
			t.Errorf("told %d times:\n%s", n, w.log.String())
		}
		if !w.usable(bank) || w.state(bank).Failures != 0 {
			t.Error("another domain suffers")
		}
		w.set(shop, nil)
		time.Sleep(72 * time.Second)
		if s := w.state(shop); s.Status != selftest.Working || s.Failures != 0 || s.Failure != "" || !w.usable(shop) {
			t.Errorf("afterwards: %+v", s)
		}
		if n := w.said("domain answers"); n != 3 {
			t.Errorf("told %d times", n)
		}
		w.stop()
	})
}

// TestProbesAreSpread proves the pace: about a minute while all is well, soon
// after failures and then ever more rarely, never all together.
func TestProbesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var urls []string
		for i := range 50 {
			urls = append(urls, fmt.Sprintf("https://t%d.example", i))
		}
		w.set(urls[0], errDown)
		w.Set(true, urls)
		w.run()
		time.Sleep(time.Hour)
		w.stop()
		times := map[time.Time]int{}
		for _, url := range urls[1:] {
			if n := len(w.probes[url]); n < 50 || n > 75 {
				t.Errorf("%s was probed %d times in an hour", url, n)
			}
			for _, at := range w.probes[url][1:] {
				times[at]++
			}
		}
		for at, n := range times {
			if n > 2 {
				t.Errorf("%d probes at %v", n, at)
			}
		}
		failing := w.probes[urls[0]]
		if n := len(failing); n < 50 || n > 85 {
			t.Errorf("the failing one was probed %d times in an hour", n)
		}
		if pause := failing[1].Sub(failing[0]); pause > 2*time.Second {
			t.Errorf("tried again after %v", pause)
		}
		for i := range failing[1:] {
			if pause := failing[i+1].Sub(failing[i]); pause > 72*time.Second {
				t.Errorf("paused for %v", pause)
			}
		}
	})
}

// TestSet proves that known domains keep their state and are probed at once,
// that removed ones are forgotten in the metrics too, and that without the test
// every URL may be used.
func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Set(true, []string{shop})
		w.run()
		synctest.Wait()
		w.set(shop, errDown)
		w.Set(true, []string{shop, bank})
		synctest.Wait()
		if w.count(shop) != 2 || w.count(bank) != 1 || !w.usable(shop) || !w.usable(bank) {
			t.Errorf("%d and %d probes, %+v", w.count(shop), w.count(bank), w.States())
		}
		w.Withheld(shop)
		w.Set(true, []string{bank})
		synctest.Wait()
		if len(w.States()) != 1 || w.usable(shop) || w.Given(shop) {
			t.Error("a removed domain is still there")
		}
		for _, name := range []string{"postrider_tracking_domain_usable", "postrider_tracking_probes_total"} {
			if n, err := testutil.GatherAndCount(w.registry, name); n != 1 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
		w.Set(false, []string{bank})
		if !w.usable(shop) || !w.usable(bank) || !w.Given(shop) || len(w.States()) != 0 {
			t.Error("tests although it is turned off")
		}
		before := w.count(bank)
		time.Sleep(time.Hour)
		if w.count(bank) != before {
			t.Error("probes although it is turned off")
		}
		w.Set(true, []string{shop})
		synctest.Wait()
		if w.count(shop) != 3 {
			t.Errorf("%d probes of a domain that came back", w.count(shop))
		}
		w.stop()
	})
}

func TestOptions(t *testing.T) {
	if _, err := selftest.New(selftest.Options{}); !errors.Is(err, selftest.ErrOptions) {
		t.Errorf("got %v", err)
	}
	registry := prometheus.NewRegistry()
	if _, err := selftest.New(selftest.Options{Keys: keyring(t), Registerer: registry}); err != nil {
		t.Error(err)
	}
	if _, err := selftest.New(selftest.Options{Keys: keyring(t), Registerer: registry}); err == nil {
		t.Error("metrics registered twice")
	}
}
