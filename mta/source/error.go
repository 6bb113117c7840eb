package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Causes that Error wraps.
var (
	// ErrNoPool: the pool that the message names is unknown, or not for its
	// tenant.
	ErrNoPool = errors.New("there is no such pool")
	// ErrNoSource: no source of the pool can be used now.
	ErrNoSource = errors.New("no source can be used")
)

// Error says why a message has no source. It is always temporary.
type Error struct {
	Pool, Site string
	// Candidates of the pool with what is wrong with each.
	Candidates []Candidate
	// Until is when a source may be back; zero where nobody knows.
	Until time.Time
	// Err is ErrNoPool or ErrNoSource.
	Err error
}

// Error names the pool and what is wrong with each of its sources. It holds no
// address.
func (e *Error) Error() string {
	if len(e.Candidates) == 0 {
		return fmt.Sprintf("pool %q: %v", e.Pool, e.Err)
	}
	words := make([]string, len(e.Candidates))
	for i, c := range e.Candidates {
		words[i] = c.Source.Name + ": " + c.Reason
		if !c.Until.IsZero() {
			words[i] += " until " + c.Until.UTC().Format("2006-01-02 15:04:05Z")
		}
	}
	return fmt.Sprintf("pool %q: %v (%s)", e.Pool, e.Err, strings.Join(words, "; "))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reply is what the recipient's event will carry.
func (e *Error) Reply() mail.Reply {
	return mail.Reply{
		Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 4, Detail: 0}, Text: e.Error(),
	}
}

// exhausted explains that nothing of a pool can be used.
func (s *Set) exhausted(now time.Time, p *pool, r *Request) *Error {
	e := &Error{Pool: p.name, Site: r.Site, Candidates: s.candidates(now, p, r), Err: ErrNoSource}
	for i := range e.Candidates {
		c := &e.Candidates[i]
		if c.Reason == "" { // freed since it was asked
			c.Reason, c.Until = "it has just come free", now
		}
		if !c.Until.IsZero() && (e.Until.IsZero() || c.Until.Before(e.Until)) {
			e.Until = c.Until
		}
	}
	return e
}
