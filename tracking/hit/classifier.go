package hit

import (
	"slices"
	"sync"
	"time"
)

// Options of a Classifier.
type Options struct {
	// TooSoon is how long after its delivery a message's hits are a machine's;
	// zero for 3 seconds, below zero for none.
	TooSoon time.Duration
	// Delivered is how many deliveries are remembered, the last ones; zero for
	// 65,536, which take 1.5 MB.
	Delivered int
	// Clicking is of how many recipients clicks are remembered; zero for
	// 16,384, which take 1.5 MB.
	Clicking int
}

const (
	// longestTalk is how long before the end of its delivery a filter may have
	// seen a message; what is longer ago is a clock that was set back.
	longestTalk = 10 * time.Minute

	defaultTooSoon   = 3 * time.Second
	defaultDelivered = 1 << 16
	defaultClicking  = 1 << 14
)

// Classifier tells machines from people. It is safe for concurrent use.
type Classifier struct {
	agents   *agents
	networks networks
	tooSoon  time.Duration

	mu        sync.Mutex
	delivered table[struct{}]
	clicking  table[clicked]
	// round counts calls of Sift, before are the clicks before in one.
	round  uint64
	before []int
}

// New returns a Classifier. It has no goroutine and needs no end.
func New(o Options) *Classifier {
	if o.TooSoon == 0 {
		o.TooSoon = defaultTooSoon
	}
	if o.Delivered <= 0 {
		o.Delivered = defaultDelivered
	}
	if o.Clicking <= 0 {
		o.Clicking = defaultClicking
	}
	return &Classifier{
		agents: newAgents(), networks: newNetworks(), tooSoon: o.TooSoon,
		delivered: newTable[struct{}](o.Delivered), clicking: newTable[clicked](o.Clicking),
	}
}

// Delivery is when a recipient's server took the message.
type Delivery struct {
	Recipient Recipient
	Time      time.Time
}

// Delivered remembers deliveries. Hits on those it was not told of, or has
// forgotten since, are never too soon.
func (c *Classifier) Delivered(deliveries []Delivery) {
	if c.tooSoon < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range deliveries {
		c.delivered.claim(deliveries[i].Recipient, deliveries[i].Time.UnixNano())
	}
}

// Hit is an open or a click that waits to be recorded.
type Hit struct {
	Kind      Kind
	Machine   Reason
	Recipient Recipient
	// URL is the target of a click.
	URL  string
	Time time.Time
}

// Sift marks those hits, in the order in which they came, that other hits or
// the delivery show to be a machine's. Those of earlier calls are out of its
// reach, and so are those whose Recipient is zero: nobody knows which belong
// together.
func (c *Classifier) Sift(hits []Hit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	c.before = slices.Grow(c.before[:0], len(hits))[:len(hits)]
	clear(c.before)
	for i := range hits {
		h := &hits[i]
		if h.Machine != Human || h.Recipient == (Recipient{}) {
			continue
		}
		if h.Kind == Click {
			c.addClick(hits, i)
		}
		if h.Machine == Human && c.isTooSoon(h) {
			h.Machine = TooSoon
		}
	}
}

// isTooSoon also finds what came before the delivery: filters look at mail
// before they let it in.
func (c *Classifier) isTooSoon(h *Hit) bool {
	if c.tooSoon < 0 {
		return false
	}
	s := c.delivered.find(h.Recipient)
	if s == nil {
		return false
	}
	since := time.Duration(h.Time.UnixNano() - s.at)
	return since < c.tooSoon && since > -longestTalk
}
