package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Work is what is handed in.
type Work struct {
	// Address of the server, over TCP.
	Address string
	// Sessions are connected all the time, and share the Messages.
	Sessions, Messages int
	// Size of a message in octets.
	Size int
	// Domains take the readers in turn, one reader a message.
	Domains []string
	Sender  string
	// Header holds further header lines, each with its CRLF.
	Header string
}

// Span is when the work was done: from the first MAIL to the last 250.
type Span struct{ First, Last time.Time }

// ErrRefused is a reply other than the work expects.
var ErrRefused = errors.New("the server refused")

// Generate hands the messages in. All sessions are connected before the first
// message, and quit after the last.
func (w Work) Generate(ctx context.Context) (Span, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sessions, err := w.connect(ctx)
	defer func() {
		for _, s := range sessions {
			s.close()
		}
	}()
	if err != nil {
		return Span{}, err
	}
	span := Span{First: time.Now()}
	w.run(sessions, cancel)
	span.Last = time.Now()
	return span, context.Cause(ctx)
}

func (w Work) connect(ctx context.Context) ([]*session, error) {
	var sessions []*session
	for range w.Sessions {
		s, err := dial(ctx, w.Address)
		if err != nil {
			return sessions, fmt.Errorf("connect to %s: %w", w.Address, err)
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// run lets each session take the next message until there is none.
func (w Work) run(sessions []*session, fail context.CancelCauseFunc) {
	letter := NewLetter(w.Sender, w.Header, w.Size)
	var next atomic.Int64
	var group sync.WaitGroup
	for _, s := range sessions {
		group.Go(func() {
			for {
				number := int(next.Add(1)) - 1
				if number >= w.Messages {
					return
				}
				reader := fmt.Sprintf("reader%d@%s", number, w.Domains[number%len(w.Domains)])
				if err := s.send(letter, number, reader); err != nil {
					fail(fmt.Errorf("message %d: %w", number, err))
					next.Store(int64(w.Messages))
					return
				}
			}
		})
	}
	group.Wait()
}
