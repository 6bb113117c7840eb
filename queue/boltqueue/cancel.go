package boltqueue

import (
	"context"
	"slices"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// cancel is a cancel under way. Its record takes effect at one place in the
// journal: what was accepted before it and matches is never offered again,
// what comes later is not concerned. A sweep then ends each recipient with its
// event, and another record ends the cancel. Everything in it is guarded by
// Store.mu, but what never changes, and the channels.
type cancel struct {
	// position is that of its record. Messages whose records stand before it
	// are concerned: none of them moves while the cancel is under way.
	position journal.Position
	selector queue.Selector
	reason   string
	// found are recipients that would otherwise have come to wait, or to be
	// offered; they are claimed for the sweep.
	found map[*entry]struct{}
	// away are those that were not waiting when the cancel took effect; they
	// are found when they come back to wait. True are those on the way to disk
	// without a lease, whose number is claims.
	away   map[*entry]bool
	claims int
	// ended counts the recipients that were ended.
	ended int
	// news has something when found or away changed.
	news chan struct{}
	// swept is closed once all that waited has ended, and held up takes why
	// that lasts.
	swept  chan struct{}
	heldUp chan error
}

func newCancel(sel queue.Selector, reason string) *cancel {
	return &cancel{
		selector: sel, reason: reason, found: map[*entry]struct{}{}, away: map[*entry]bool{},
		news: make(chan struct{}, 1), swept: make(chan struct{}), heldUp: make(chan error, 1),
	}
}

// chooses reports whether a recipient is cancelled whose message's record
// stands at a position.
func (c *cancel) chooses(m *queue.Message, at journal.Position, recipient mail.Address) bool {
	return at < c.position && c.selector.Match(m, recipient)
}

func (c *cancel) signal() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// Cancel implements queue.Store. Its record is all that has to be written for
// the cancel to take effect, whatever the number of recipients.
func (s *Store) Cancel(ctx context.Context, sel queue.Selector, reason string) (int, error) {
	if queues, err := s.queueIDs(sel); err != nil || len(queues) == 0 {
		return 0, err
	}
	c := newCancel(sel, reason)
	w := &journal.Write{Kind: kindCancel, Head: c.append(nil), Value: c}
	if err := s.journal.Append(ctx, w); err != nil {
		return 0, storageError(err)
	}
	return s.awaitSwept(ctx, c)
}

// awaitSwept waits until all that a cancel found waiting has ended.
func (s *Store) awaitSwept(ctx context.Context, c *cancel) (int, error) {
	var err error
	select {
	case <-c.swept:
	case err = <-c.heldUp:
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stop:
		err = queue.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.ended, err
}

// applyCancel lets a cancel take effect, and starts its sweep.
func (s *Store) applyCancel(c *cancel, at journal.Position) {
	c.position = at
	s.cancels.add(c)
	for _, q := range s.loadedQueues(c.selector) {
		for e := q.first; e != nil; e = e.next {
			if e.state == waiting || e.state == gone || !c.chooses(e.message.shared, e.message.position, e.recipient.Address) {
				continue
			}
			c.away[e] = e.state == claimed
			if e.state == claimed {
				c.claims++
			}
		}
	}
	s.background.Go(func() { s.runCancel(c) })
}

// loadedQueues returns the queues in which entries in memory may match.
func (s *Store) loadedQueues(sel queue.Selector) []*queueState {
	var queues []*queueState
	if !sel.Message.IsZero() {
		if msg := s.messages[sel.Message]; msg != nil {
			for _, id := range msg.queues.numbers() {
				if q := s.byID[id]; q != nil {
					queues = append(queues, q)
				}
			}
		}
		return queues
	}
	for _, q := range s.byID {
		if q.first != nil && sel.MatchKey(q.key) {
			queues = append(queues, q)
		}
	}
	return queues
}

// cancels are those under way, in the order in which they took effect. They are
// guarded by Store.mu.
type cancels struct {
	standing []*cancel
	// changed: the rows of the last checkpoint are not these.
	changed bool
}

func (l *cancels) add(c *cancel) {
	l.standing = append(l.standing, c)
	l.changed = true
}

func (l *cancels) remove(at journal.Position) {
	l.standing = slices.DeleteFunc(l.standing, func(c *cancel) bool { return c.position == at })
	l.changed = true
}

// of returns the cancel whose sweep ends a recipient: the first that chooses
// it; nil for none.
func (l *cancels) of(m *queue.Message, at journal.Position, recipient mail.Address) *cancel {
	for _, c := range l.standing {
		if c.chooses(m, at, recipient) {
			return c
		}
	}
	return nil
}

// concern reports whether a message may have recipients that a cancel chooses.
func (l *cancels) concern(m *queue.Message) bool {
	for _, c := range l.standing {
		sel := c.selector
		sel.Recipient, sel.Domain = mail.Address{}, ""
		if sel.Match(m, mail.Address{}) {
			return true
		}
	}
	return false
}

// earlier returns the cancels before c that may choose the same recipients.
func (l *cancels) earlier(c *cancel) []*cancel {
	var all []*cancel
	for _, other := range l.standing {
		if other.position < c.position && !disjoint(other.selector, c.selector) {
			all = append(all, other)
		}
	}
	return all
}

// disjoint reports that nothing matches both.
func disjoint(a, b queue.Selector) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return !a.Message.IsZero() && !b.Message.IsZero() && a.Message != b.Message ||
		!a.Recipient.IsZero() && !b.Recipient.IsZero() && a.Recipient.Key() != b.Recipient.Key() ||
		differ(a.Tenant, b.Tenant) || differ(a.Stream, b.Stream) || differ(a.Campaign, b.Campaign) ||
		differ(string(a.Domain), string(b.Domain))
}

// back takes note of an entry that comes to wait, or that ended.
func (l *cancels) back(e *entry) {
	for _, c := range l.standing {
		delete(c.found, e)
		claim, away := c.away[e]
		if !away {
			continue
		}
		delete(c.away, e)
		if claim {
			c.claims--
		}
		c.signal()
	}
}

// withdraw hands an entry that a cancel chooses to the cancel's sweep, and
// reports whether it did.
func (m *memory) withdraw(e *entry) bool {
	if len(m.cancels.standing) == 0 {
		return false
	}
	c := m.cancels.of(e.message.shared, e.message.position, e.recipient.Address)
	if c == nil {
		return false
	}
	m.leaveHead(e)
	e.state = claimed
	c.found[e] = struct{}{}
	c.signal()
	return true
}
