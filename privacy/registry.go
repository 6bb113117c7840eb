package privacy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// ErrHolder: a holder that cannot be registered.
var ErrHolder = errors.New("invalid holder of personal data")

// Count is what one holder found or did.
type Count struct {
	Holder string `json:"holder"`
	Count  int    `json:"count"`
}

// Registry walks all holders, in the order of their registration. One that
// fails keeps no other from its turn: the errors are joined, each with the
// holder's name, and the counts are of all that was done. It is
// safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex
	holders []Holder
}

// NewRegistry returns one without holders.
func NewRegistry() *Registry { return &Registry{} }

// Register adds a holder; its name must be new.
func (r *Registry) Register(h Holder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := h.HolderName()
	if name == "" {
		return fmt.Errorf("%w: it has no name", ErrHolder)
	}
	for _, other := range r.holders {
		if other.HolderName() == name {
			return fmt.Errorf("%w: %q is registered already", ErrHolder, name)
		}
	}
	r.holders = append(r.holders, h)
	return nil
}

// Names returns the names of the holders.
func (r *Registry) Names() []string {
	var names []string
	for _, h := range r.all() {
		names = append(names, h.HolderName())
	}
	return names
}

func (r *Registry) all() []Holder {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.holders)
}

// Find counts what each holder keeps about a subject.
func (r *Registry) Find(ctx context.Context, s person.Subject) ([]Count, error) {
	return r.walk(ctx, "find", func(h Holder) (int, error) { return h.Find(ctx, s) })
}

// Rectify makes what each holder keeps about a subject be about another
// address.
func (r *Registry) Rectify(ctx context.Context, s person.Subject, to mail.Address) ([]Count, error) {
	return r.walk(ctx, "rectify", func(h Holder) (int, error) { return h.Rectify(ctx, s, to) })
}

// Erase erases a subject from each holder. It is done only if the error is
// nil.
func (r *Registry) Erase(ctx context.Context, s person.Subject) ([]Count, error) {
	return r.walk(ctx, "erase", func(h Holder) (int, error) { return h.Erase(ctx, s) })
}

// Expire removes from each holder what was written before a time.
func (r *Registry) Expire(ctx context.Context, before time.Time) ([]Count, error) {
	return r.walk(ctx, "expire", func(h Holder) (int, error) { return h.Expire(ctx, before) })
}

// Export yields all that is kept about a subject, with the holder's name. An
// error of yield ends the walk.
func (r *Registry) Export(ctx context.Context, s person.Subject, yield func(holder string, record person.Record) error) error {
	var stopped error
	_, err := r.walk(ctx, "export", func(h Holder) (int, error) {
		if stopped != nil {
			return 0, nil
		}
		err := h.Export(ctx, s, func(record person.Record) error {
			stopped = yield(h.HolderName(), record)
			return stopped
		})
		return 0, err
	})
	return err
}

// walk gives each holder its turn until ctx ends.
func (r *Registry) walk(ctx context.Context, duty string, do func(Holder) (int, error)) ([]Count, error) {
	var counts []Count
	var errs []error
	for _, h := range r.all() {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%s before %s: %w", duty, h.HolderName(), err))
			break
		}
		n, err := do(h)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s in %s: %w", duty, h.HolderName(), err))
		}
		counts = append(counts, Count{h.HolderName(), n})
	}
	return counts, errors.Join(errs...)
}
