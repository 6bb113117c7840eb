package delivery

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// TraceLine is one line of a dialogue with a site.
type TraceLine struct {
	Time         time.Time
	Source, Host string
	Remote       netip.AddrPort
	// Sent is what we said; otherwise it is an answer.
	Sent bool
	Text string
}

// traceLines wait for a reader at most; further ones are dropped, so that
// nobody who looks on slows the mail.
const traceLines = 1024

// tracer gives the dialogues of sites to those who ask for them.
type tracer struct {
	mu        sync.Mutex
	listeners map[string][]chan TraceLine
}

// Trace calls yield for each line that is exchanged with a site over
// connections opened from now on, until ctx ends or yield fails.
func (e *Engine) Trace(ctx context.Context, siteName string, yield func(TraceLine) error) error {
	lines := make(chan TraceLine, traceLines)
	e.tracer.add(siteName, lines)
	defer e.tracer.remove(siteName, lines)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case line := <-lines:
			if err := yield(line); err != nil {
				return err
			}
		}
	}
}

func (t *tracer) add(siteName string, lines chan TraceLine) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listeners == nil {
		t.listeners = map[string][]chan TraceLine{}
	}
	t.listeners[siteName] = append(t.listeners[siteName], lines)
}

func (t *tracer) remove(siteName string, lines chan TraceLine) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := slices.DeleteFunc(t.listeners[siteName], func(other chan TraceLine) bool { return other == lines })
	if t.listeners[siteName] = left; len(left) == 0 {
		delete(t.listeners, siteName)
	}
}

// of returns what is to be told of a new connection; nil where nobody listens.
func (t *tracer) of(siteName string, from TraceLine) func(sent bool, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.listeners[siteName]) == 0 {
		return nil
	}
	return func(sent bool, text string) {
		line := from
		line.Time, line.Sent, line.Text = time.Now(), sent, text
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, lines := range t.listeners[siteName] {
			select {
			case lines <- line:
			default:
			}
		}
	}
}
