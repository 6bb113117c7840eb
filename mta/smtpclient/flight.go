package smtpclient

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// mostRiding bounds what is under way without CHUNKING: one whose message is
// being answered, one that waits for its invitation, one to ride behind that.
const mostRiding = 3

// Result is what became of a transaction that was begun.
type Result struct {
	// Transaction as it was given to Begin.
	Transaction *Transaction
	// Answers are one per recipient, in their order; a zero Answer means that
	// the recipient has to be tried again.
	Answers []Answer
	// Err is nil, or an *Error: the connection is of no more use.
	Err error
	// Again says, beside an Err, that the server had not looked at the
	// transaction when the connection broke, or that it objected to nothing but
	// the way in which it came: it may be tried again at once. It is a
	// judgement by what was heard; of a server that died with answers unsent it
	// may be wrong.
	Again bool
}

// flight is what is under way over one connection. Whoever calls Begin says
// transactions; a goroutine hears the answers, for as long as there are any to
// come, so that neither end ever waits for the other to read first.
type flight struct {
	results chan Result
	// listeners are the goroutines that hear and answer invitations.
	listeners sync.WaitGroup
	// pen is held by who writes. It is never taken under mu.
	pen sync.Mutex

	// mu guards the rest, and of the Client failure, dirty and transacted.
	mu sync.Mutex
	// queue is what is under way, oldest first; octets is the sum of its sizes.
	queue  []*transaction
	octets int64
	// next is the last of the queue while it waits to be said behind the
	// message of the one before it.
	next   *transaction
	window window
	accent accent
	// single: the server does not stand more than a command at a time. wary: it
	// turned the last one away, and is asked before it is sent another message.
	single, wary bool
	// proven: a message was taken that did not wait for leave to be sent.
	proven bool
	// heard counts the answers since nothing was under way; unwatch ends the
	// watch over the context.
	heard   int
	unwatch func() bool
	// spoken is signalled when something was written, or could not be.
	spoken sync.Cond
	// timed: the next answer has its deadline.
	timed bool
	// broken is why nothing can be written any more; until is how long the
	// server's last words are waited for.
	broken error
	until  time.Time
	closed bool
}

// Room reports whether Begin takes t now. It is true whenever nothing is under
// way and results are received.
func (c *Client) Room(t *Transaction) bool {
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.room(t)
}

func (c *Client) room(t *Transaction) bool {
	f := &c.flight
	switch {
	case len(f.queue)+len(f.results) >= maxWindow:
		return false
	case len(f.queue) == 0, c.failure != nil:
		return true
	case c.alone(t), f.next != nil, len(f.queue) >= f.window.size:
		return false
	}
	return !c.offer.Chunking || f.octets+dataSize(t.Message) <= maxOctets
}

// alone reports that nothing else may be under way with t: because of the
// server, or of the size of t.
func (c *Client) alone(t *Transaction) bool {
	f := &c.flight
	return !c.offer.Pipelining || f.single || f.wary || len(t.Recipients) > pipelineWindow ||
		c.offer.Chunking && dataSize(t.Message) > maxOctets
}

// Window returns how many messages a round trip carries at present.
func (c *Client) Window() int {
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if !c.offer.Chunking || !c.offer.Pipelining || f.single || f.wary {
		return 1
	}
	return f.window.size
}

// OneAtATime reports that the server has shown over this connection that it
// does not stand more than a command at a time, or may not: for some time its
// further connections do well by Options.OneAtATime.
func (c *Client) OneAtATime() bool {
	c.flight.mu.Lock()
	defer c.flight.mu.Unlock()
	return c.flight.single && !c.options.OneAtATime
}

// Results delivers one Result for each transaction that Begin took, most often
// in their order. There is no end to it.
func (c *Client) Results() <-chan Result { return c.flight.results }

// Begin offers a transaction to the server and leaves the answer to Results.
// Where the server offers CHUNKING, envelope and message travel in one flight
// (RFC 3030), and more may follow before the first is answered; where it offers
// PIPELINING alone, the next envelope rides behind the message (RFC 2920).
// Where it does neither, or showed that it cannot, Begin waits for the answer.
//
// ctx interrupts all that is under way from when nothing was. t belongs to the
// connection until its Result comes. The error is ErrBusy where there is no
// Room, else the *Error that ended the connection; no Result comes then.
func (c *Client) Begin(ctx context.Context, t *Transaction) error {
	f := &c.flight
	f.mu.Lock()
	failure, room, alone, idle := c.failure, c.room(t), c.alone(t), len(f.queue) == 0
	f.mu.Unlock()
	switch {
	case failure != nil:
		return failure
	case !room:
		return ErrBusy
	}
	x := c.begin(t)
	switch {
	case len(x.asked) == 0:
		f.results <- Result{Transaction: t, Answers: x.answers}
		return nil
	case alone:
		c.sendAlone(ctx, x)
		return nil
	case idle:
		if err := c.session(ctx, func() error { return c.inStep(MAIL) }); err != nil {
			return err
		}
	}
	return c.launch(ctx, x)
}

// sendAlone sends x while nothing else is under way, and waits.
func (c *Client) sendAlone(ctx context.Context, x *transaction) {
	if c.dirty {
		x.first = RSET
	}
	err := c.session(ctx, func() error { return c.transact(x) })
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wary = x.turnedAway(); f.wary {
		f.window.shrink()
	}
	f.results <- Result{x.Transaction, x.answers, err, err != nil && x.unseen()}
}

// launch says x, or leaves it to be said behind the message of the one before.
func (c *Client) launch(ctx context.Context, x *transaction) error {
	f := &c.flight
	f.mu.Lock()
	switch {
	case f.closed:
		defer f.mu.Unlock()
		return c.fail(MAIL, mail.Reply{}, ErrClosed)
	case c.failure != nil:
		defer f.mu.Unlock()
		return c.failure
	}
	now := c.enqueue(x)
	if f.unwatch == nil {
		f.unwatch = c.wire.watch(ctx)
		f.listeners.Go(c.listen)
	}
	f.mu.Unlock()
	if now {
		c.say(nil, x)
	}
	return nil
}

// enqueue adds x, and reports whether it is to be said now. The caller holds
// f.mu.
func (c *Client) enqueue(x *transaction) bool {
	f := &c.flight
	x.chunked = c.offer.Chunking
	x.unsaid, x.written = 1, time.Now()
	var before *transaction
	if last := len(f.queue) - 1; last >= 0 {
		before = f.queue[last]
		x.behind = true
	}
	f.queue = append(f.queue, x)
	f.octets += x.size
	x.crowded = len(f.queue) >= f.window.size
	if x.chunked && x.behind || !x.behind && c.dirty {
		// What becomes of those before is not known yet: whatever they leave
		// behind must not mix with this one. This leans on RSET, which a server
		// must not refuse (RFC 5321 section 4.1.1.5).
		x.first = RSET
	}
	if x.chunked || before == nil || before.told() {
		return true
	}
	f.next = x
	return false
}

// finish ends the oldest under way. The caller holds f.mu.
func (c *Client) finish(x *transaction) {
	f := &c.flight
	f.queue = slices.Delete(f.queue, 0, 1)
	f.octets -= x.size
	if x.turnedAway() {
		f.wary = true
		f.window.shrink()
	}
	f.results <- Result{Transaction: x.Transaction, Answers: x.answers}
}

// abandon gives a result to all that is under way, after the connection
// failed. The caller holds f.mu.
func (c *Client) abandon(objected bool) {
	f := &c.flight
	for i, x := range f.queue {
		f.results <- Result{x.Transaction, x.answers, c.failure, x.unseen() || objected && i == 0}
	}
	f.queue, f.next, f.octets = nil, nil, 0
}

// wait ends with the last goroutine; none begins any more.
func (f *flight) wait() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.listeners.Wait()
}

// busy reports that something is under way.
func (f *flight) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) > 0
}
