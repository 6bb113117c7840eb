package sts

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is DNS, the policy hosts and the disk of a test.
type world struct {
	mu       sync.Mutex
	texts    map[string][]string
	dnsErr   error
	policies map[mail.Domain]Policy
	errs     map[mail.Domain]error
	// slow hosts take that long.
	slow     map[mail.Domain]time.Duration
	fetches  map[mail.Domain]int
	busy     map[mail.Domain]int
	document []byte
	saveErr  error
	aside    []byte
}

func newWorld() *world {
	return &world{
		texts: map[string][]string{}, policies: map[mail.Domain]Policy{}, errs: map[mail.Domain]error{},
		slow: map[mail.Domain]time.Duration{}, fetches: map[mail.Domain]int{}, busy: map[mail.Domain]int{},
	}
}

// publish sets record and policy of a domain.
func (w *world) publish(domain mail.Domain, id string, policy Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts["_mta-sts."+string(domain)] = []string{"v=STSv1; id=" + id}
	w.policies[domain] = policy
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) LookupTXT(ctx context.Context, name string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts[name], errors.Join(w.dnsErr, ctx.Err())
}

func (w *world) Fetch(ctx context.Context, domain mail.Domain) (Policy, error) {
	w.mu.Lock()
	w.fetches[domain]++
	w.busy[domain]++
	if w.busy[domain] > 1 {
		panic("two fetches for one domain")
	}
	pause := w.slow[domain]
	w.mu.Unlock()
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[domain]--
	if ctx.Err() != nil {
		return Policy{}, ctx.Err()
	}
	return w.policies[domain], w.errs[domain]
}

func (w *world) fetched(domain mail.Domain) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches[domain]
}

func (w *world) Load() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.document, nil
}

func (w *world) Save(document []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saveErr == nil {
		w.document = document
	}
	return w.saveErr
}

func (w *world) SetAside() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aside, w.document = w.document, nil
	return nil
}

func (w *world) cache(t *testing.T, change func(*Options)) *Cache {
	t.Helper()
	o := Options{LookupTXT: w.LookupTXT, Fetcher: w, Store: w, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func enforce(age time.Duration, mx ...string) Policy {
	return Policy{Mode: Enforce, MX: mx, MaxAge: age}
}
