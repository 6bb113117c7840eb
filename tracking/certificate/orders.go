package certificate

import (
	"encoding/json"
	"fmt"
	"maps"
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
// renewals too. A domain that fails takes nothing from the others, and a daemon
// that is started again and again does not begin anew each time.
type orders struct {
	// save keeps what is known for the next start.
	save  func([]byte) error
	mutex sync.Mutex
	hosts map[string]*attempts
}

// attempts are those of one host. What is exported is kept over a restart.
type attempts struct {
	// Orders since the last pause, and Pauses since the last certificate.
	Orders int `json:"orders"`
	Pauses int `json:"pauses"`
	// Until is the end of the pause, and Last when the last order was.
	Until time.Time `json:"until"`
	Last  time.Time `json:"last"`
	// told is when the log last said something.
	told time.Time
}

// newOrders takes up what was saved; what cannot be read is an error, and
// leaves orders that know nothing.
func newOrders(saved []byte, save func([]byte) error) (*orders, error) {
	o := &orders{save: save, hosts: map[string]*attempts{}}
	if len(saved) == 0 {
		return o, nil
	}
	read := map[string]*attempts{}
	if err := json.Unmarshal(saved, &read); err != nil {
		return o, fmt.Errorf("pauses of orders: %w", err)
	}
	for host, a := range read {
		if a != nil {
			o.hosts[host] = a
		}
	}
	return o, nil
}

// store saves what is known; the mutex is held. Hosts that were not ordered for
// a while count no more.
func (o *orders) store(now time.Time) error {
	maps.DeleteFunc(o.hosts, func(_ string, a *attempts) bool {
		return now.Sub(a.Until) > 2*pauseMax && now.Sub(a.Last) > 2*pauseMax && now.Sub(a.told) > silence
	})
	content, err := json.Marshal(o.hosts)
	if err != nil {
		return err
	}
	return o.save(content)
}

// of returns what is known of a host; the mutex is held. Only configured hosts
// come here, so that their number is bounded.
func (o *orders) of(host string) *attempts {
	if o.hosts[host] == nil {
		o.hosts[host] = &attempts{}
	}
	return o.hosts[host]
}

// take counts an order, or returns how long the host has to wait for one. On an
// error nothing was counted that lasts, and no order may leave: on a full disk
// its certificate could not be kept either.
func (o *orders) take(host string, now time.Time) (time.Duration, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	a := o.of(host)
	if left := a.Until.Sub(now); left > 0 {
		return left, nil
	}
	a.Last = now
	if a.Orders++; a.Orders >= ordersAtOnce {
		pause := pauseMax
		if a.Pauses >= 0 && a.Pauses < 6 {
			pause = min(pauseFirst<<a.Pauses, pauseMax)
		}
		a.Orders, a.Pauses, a.Until = 0, a.Pauses+1, now.Add(pause)
	}
	return 0, o.store(now)
}

// done forgets a host's failures: it has a certificate.
func (o *orders) done(host string, now time.Time) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.hosts, host)
	return o.store(now)
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
