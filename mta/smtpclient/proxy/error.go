package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// Step is how far the dialogue with a proxy came.
type Step string

const (
	// Connect: the proxy could not be connected to.
	Connect Step = "connect"
	// Greeting: it does not speak the protocol, or asks for other credentials.
	Greeting Step = "greeting"
	// Authentication: it refused user name and password.
	Authentication Step = "authentication"
	// SourceAddress: it cannot send from the address asked for.
	SourceAddress Step = "source address"
	// Request: it refuses the request, whatever the target.
	Request Step = "request"
	// Target: it did not reach the target.
	Target Step = "target"
)

// Error says how far it came and why no further. It holds neither secrets nor
// the target's address.
type Error struct {
	Step Step
	// Code is the proxy's answer (RFC 1928 section 6), where it gave one.
	Code byte
	Err  error
}

// Error names the step and the cause.
func (e *Error) Error() string { return fmt.Sprintf("proxy: %s: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// SourceFault reports that the proxy is to blame, and so whoever sends through
// it, and not the target.
func (e *Error) SourceFault() bool { return e.Step != Target }

// Causes that Error wraps.
var (
	// ErrProtocol: the answer is not of the protocol.
	ErrProtocol = errors.New("malformed answer")
	// ErrMethod: the proxy takes none of the ways to log in that we have.
	ErrMethod = errors.New("no acceptable authentication method")
	// ErrCredentials: the proxy does not know user name and password.
	ErrCredentials = errors.New("wrong user name or password")
	// ErrRefused: the proxy refuses; the code says why.
	ErrRefused = errors.New("refused by the proxy")
	// ErrFamily: there is no source address of the target's family.
	ErrFamily = errors.New("no source address of the family")
)

func errFamily(target netip.AddrPort) error {
	if target.Addr().Is4() {
		return fmt.Errorf("%w IPv4", ErrFamily)
	}
	return fmt.Errorf("%w IPv6", ErrFamily)
}

// broken makes an *Error of what is none yet; the end of the caller's context
// stays what it is.
func broken(ctx context.Context, at Step, err error) error {
	if failed, ok := errors.AsType[*Error](err); ok {
		return failed
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	return &Error{Step: at, Err: plain(err)}
}

// plain leaves out the ends of the connection.
func plain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return syscall.ETIMEDOUT
	}
	return err
}
