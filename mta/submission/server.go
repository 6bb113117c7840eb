package submission

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
)

// ErrClosed is returned by Listen and Serve after Shutdown.
var ErrClosed = errors.New("submission server is closed")

// Server takes mail from applications. It is safe for concurrent use.
type Server struct {
	options  Options
	logger   *slog.Logger
	metrics  *metrics
	now      func() time.Time
	state    atomic.Pointer[state]
	verifier *verifier
	buffers  *buffers
	peers    *addressCounter
	failures *failureWindow
	quotas   *quotas
	warnings *warnings

	work       sync.WaitGroup // accept loops and connections
	background context.Context
	cancel     context.CancelFunc

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	wires     map[*wire]struct{}
}

// state is what Reload replaces as a whole.
type state struct {
	accounts account.Directory
	limits   Limits
	tls      map[string]*tls.Config // by listener name
}

// New checks the options. Nothing is bound before Listen.
func New(options Options) (*Server, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	counters, err := newMetrics(&options)
	if err != nil {
		return nil, fmt.Errorf("%w: metrics: %w", ErrOptions, err)
	}
	options.MaxAge = cmp.Or(options.MaxAge, 5*24*time.Hour)
	s := &Server{
		options: options, logger: options.Logger, metrics: counters, now: options.Now,
		buffers: &buffers{}, peers: newAddressCounter(), failures: newFailureWindow(),
		quotas: newQuotas(options.Store), warnings: newWarnings(),
		wires: make(map[*wire]struct{}),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.background, s.cancel = context.WithCancel(context.Background())
	configs := make(map[string]*tls.Config)
	for _, l := range options.Listeners {
		configs[l.Name] = l.TLSConfig
	}
	s.adopt(&state{accounts: options.Accounts, limits: options.Limits.withDefaults(), tls: configs})
	s.verifier = newVerifier(s.state.Load().limits.Hashing, counters)
	return s, nil
}

func (s *Server) adopt(next *state) {
	s.state.Store(next)
	s.buffers.limit.Store(next.limits.Memory)
}

// Reload replaces accounts, limits and certificates (by listener name; nil
// keeps them) as one step, or changes nothing and returns an error. Limits
// hold for connections from now on, accounts at once.
func (s *Server) Reload(accounts account.Directory, limits Limits, configs map[string]*tls.Config) error {
	if err := limits.check(); err != nil {
		return err
	}
	if configs == nil {
		configs = s.state.Load().tls
	}
	for _, l := range s.options.Listeners {
		l.TLSConfig = configs[l.Name]
		if err := l.check(accounts); err != nil {
			return fmt.Errorf("%w: listener %q: %w", ErrOptions, l.Name, err)
		}
	}
	s.adopt(&state{accounts: accounts, limits: limits.withDefaults(), tls: configs})
	return nil
}

// Listen binds every listener, or none.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, l := range s.options.Listeners {
		bound, err := l.bind()
		if err != nil {
			s.unbind()
			return fmt.Errorf("listener %q: %w", l.Name, err)
		}
		s.listeners = append(s.listeners, bound)
	}
	return nil
}

func (s *Server) unbind() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.listeners = nil
}

func (l Listener) bind() (net.Listener, error) {
	socket, unix := strings.CutPrefix(l.Address, "unix:")
	if !unix {
		return net.Listen("tcp", l.Address)
	}
	if err := removeStale(socket); err != nil {
		return nil, err
	}
	bound, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, cmp.Or(l.Mode, 0o660)); err != nil {
		bound.Close()
		return nil, err
	}
	return bound, nil
}

// removeStale removes the socket of a process that is gone, and nothing else.
func removeStale(socket string) error {
	info, err := os.Lstat(socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return err // bind says what is in the way
	}
	if other, err := net.Dial("unix", socket); err == nil {
		other.Close()
		return nil
	}
	return os.Remove(socket)
}

// Addresses returns what Listen bound, in the order of the listeners.
func (s *Server) Addresses() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addresses := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addresses[i] = l.Addr()
	}
	return addresses
}

// Serve accepts connections until Shutdown, and returns when the last of them
// has ended. When ctx ends, all are closed at once.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	for i, l := range s.listeners {
		s.work.Go(func() { s.acceptAll(l, s.options.Listeners[i]) })
	}
	s.mu.Unlock()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.Shutdown(ctx)
	})
	s.work.Wait()
	if !stop() {
		<-stopped
	}
	return nil
}

// acceptAll ends when the listener is closed.
func (s *Server) acceptAll(bound net.Listener, l Listener) {
	pause := time.Duration(0)
	for {
		raw, err := bound.Accept()
		switch {
		case err == nil:
			pause = 0
			s.work.Go(func() { s.serve(raw, l) })
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		// Out of descriptors, most likely: what is open goes on.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.logger.Error("cannot accept a connection", "listener", l.Name, "error", err)
		select {
		case <-time.After(pause):
		case <-s.background.Done():
			return
		}
	}
}

// Shutdown stops accepting and tells idle clients 421. Transactions may finish
// until ctx ends; then everything is closed, and the error is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.unbind()
	for w := range s.wires {
		w.drain()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	defer s.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	s.mu.Lock()
	for w := range s.wires {
		w.abort()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// track registers a wire for Shutdown, and reports whether it may go on. The
// wire must be released.
func (s *Server) track(w *wire) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wires[w] = struct{}{}
	return !s.closed
}

func (s *Server) release(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.wires, w)
}
