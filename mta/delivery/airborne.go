package delivery

import (
	"context"
	"sync"

	"github.com/postrider-mta/postrider/internal/mail"
)

// airborne are the recipients for whom a transaction is under way.
type airborne struct {
	mu    sync.Mutex
	under map[reader]*flight
}

// reader is one address as one tenant knows it.
type reader struct{ tenant, address string }

func readerOf(tenant string, a mail.Address) reader { return reader{tenant, a.Key()} }

// flight counts the transactions under way for one reader. gone is closed when
// there are none any more; nil while nobody asks.
type flight struct {
	count int
	gone  chan struct{}
}

func newAirborne() *airborne { return &airborne{under: map[reader]*flight{}} }

func (a *airborne) add(b *batch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range b.deliveries {
		r := readerOf(d.Message.Tenant, d.Recipient.Address)
		f := a.under[r]
		if f == nil {
			f = &flight{}
			a.under[r] = f
		}
		f.count++
	}
}

func (a *airborne) remove(b *batch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range b.deliveries {
		r := readerOf(d.Message.Tenant, d.Recipient.Address)
		f := a.under[r]
		if f.count--; f.count > 0 {
			continue
		}
		delete(a.under, r)
		if f.gone != nil {
			close(f.gone)
		}
	}
}

// gone returns what is closed when nothing is under way for a reader; nil where
// that is so.
func (a *airborne) gone(r reader) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.under[r]
	if f == nil {
		return nil
	}
	if f.gone == nil {
		f.gone = make(chan struct{})
	}
	return f.gone
}

// AwaitLanding returns when no transaction for an address of a tenant's is under
// way, or the error of ctx, which it may end by. Called after the gate has come
// to say no, nothing more is sent to the address once it returned nil: what had
// passed the gate before has ended, or is stopped before it begins.
func (e *Engine) AwaitLanding(ctx context.Context, tenant string, a mail.Address) error {
	gone := e.airborne.gone(readerOf(tenant, a))
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeOff makes b known as under way, unless the gate says otherwise by now than
// when b was prepared: then its recipients are asked about once more. It reports
// whether any is left to send to. Who changes the gate and then looks at what is
// airborne sees b, or b sees the change.
func (e *Engine) takeOff(ctx context.Context, b *batch) bool {
	for {
		e.airborne.add(b)
		revision := e.options.Gate.Revision()
		if revision == b.revision {
			return true
		}
		e.airborne.remove(b)
		b.revision = revision
		before := len(b.deliveries)
		if e.admit(ctx, b); len(b.deliveries) == 0 {
			return false
		}
		if len(b.deliveries) < before {
			b.word()
		}
	}
}
