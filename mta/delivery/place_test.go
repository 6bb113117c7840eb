package delivery

import (
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// Place is where a queue's recipients wait.
type Place struct {
	// Site is empty while the route is being looked up.
	Site  string
	Hosts []string
	// Throttles that it waits for.
	Throttles []shape.Throttle
}

// Where says where the due recipients of a queue wait; false when none is due
// that was not leased.
func (e *Engine) Where(key queue.Key) (Place, bool) {
	e.mu.Lock()
	q, ok := e.queues[key]
	if !ok || q.outlet == nil {
		e.mu.Unlock()
		return Place{}, ok
	}
	o := q.outlet
	e.mu.Unlock()
	o.site.mu.Lock()
	hosts := names(o.route)
	o.site.mu.Unlock()
	return Place{Site: o.site.name, Hosts: hosts, Throttles: e.throttles()[o.site.name]}, true
}
