package daemon

import (
	"context"
	"sync"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/route"
)

// router is a route.Router that a reload replaces. The old one ends when the
// last of its look-ups has.
type router struct {
	mu      sync.Mutex
	current *sharedRouter
	closed  bool
	closing sync.WaitGroup
}

type sharedRouter struct {
	*route.Router
	users sync.WaitGroup
}

var _ delivery.Router = (*router)(nil)

// Route implements delivery.Router.
func (r *router) Route(ctx context.Context, domain mail.Domain) (*route.Route, error) {
	shared := r.acquire()
	defer shared.users.Done()
	return shared.Route(ctx, domain)
}

// acquire returns the router in use; whoever has it says when they are done.
func (r *router) acquire() *sharedRouter {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.users.Add(1)
	return r.current
}

// lookupTXT returns the TXT records of a name.
func (r *router) lookupTXT(ctx context.Context, name string) ([]string, error) {
	shared := r.acquire()
	defer shared.users.Done()
	return shared.LookupTXT(ctx, name)
}

func (r *router) replace(next *route.Router) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		next.Close()
		return
	}
	old := r.current
	r.current = &sharedRouter{Router: next}
	if old != nil {
		r.closing.Go(func() {
			old.users.Wait()
			old.Close()
		})
	}
}

// close ends the router in use and waits for those before it. Look-ups fail
// from then on.
func (r *router) close(context.Context) error {
	r.mu.Lock()
	r.closed = true
	current := r.current
	r.mu.Unlock()
	r.closing.Wait()
	current.Close()
	return nil
}
