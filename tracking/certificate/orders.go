package certificate

import (
	"sync"
	"time"
)

const (
	// ordersAtOnce is how many orders a host may have without a certificate
	// before it must pause: one for each kind of challenge, and the one that
	// finds no more.
	ordersAtOnce = 3
	// pauseFirst and pauseMax bound the pauses, each twice as long as the one
	// before. Let's Encrypt takes five failed validations of a host in an hour.
	pauseFirst = 30 * time.Minute
	pauseMax   = 24 * time.Hour
	// silence is between two log lines about one host's failures.
	silence = 10 * time.Minute
)

// orders keeps what is asked of the authority for each host within its limits:
// orders that bring no certificate are followed by ever longer pauses, those of
// renewals too. A domain that fails takes nothing from the others.
type orders struct {
	mutex sync.Mutex
	hosts map[string]*attempts
}

type attempts struct {
	// orders since the last pause, and pauses since the last certificate.
	orders, pauses int
	// until is the end of the pause.
	until time.Time
	// told is when the log last said something.
	told time.Time
}

func newOrders() *orders { return &orders{hosts: map[string]*attempts{}} }

// of returns what is known of a host; the mutex is held. Only configured hosts
// come here, so that their number is bounded.
func (o *orders) of(host string) *attempts {
	if o.hosts[host] == nil {
		o.hosts[host] = &attempts{}
	}
	return o.hosts[host]
}

// take counts an order, or returns how long the host has to wait for one.
func (o *orders) take(host string, now time.Time) time.Duration {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	a := o.of(host)
	if left := a.until.Sub(now); left > 0 {
		return left
	}
	if a.orders++; a.orders < ordersAtOnce {
		return 0
	}
	pause := pauseMax
	if a.pauses < 6 {
		pause = min(pauseFirst<<a.pauses, pauseMax)
	}
	a.orders, a.pauses, a.until = 0, a.pauses+1, now.Add(pause)
	return 0
}

// done forgets a host's failures: it has a certificate.
func (o *orders) done(host string) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.hosts, host)
}

// tell reports whether a failure of the host is worth a line in the log.
func (o *orders) tell(host string, now time.Time) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	a := o.of(host)
	if !a.told.IsZero() && now.Sub(a.told) < silence {
		return false
	}
	a.told = now
	return true
}
