package testmx

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
)

// Server is a programmable mail exchanger. It is safe for concurrent use.
type Server struct {
	options  Options
	rules    rulebook
	counters counters
	// stopping is closed by Close: it ends delays.
	stopping chan struct{}
	group    sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	listeners  []net.Listener
	sessions   map[*session]struct{}
	messages   []*Message
	violations []string
}

// New returns a server that listens nowhere yet.
func New(o Options) *Server {
	o = o.withDefaults()
	return &Server{
		options:  o,
		rules:    newRulebook(o.Rules, rand.New(rand.NewPCG(o.Seed, o.Seed))),
		counters: counters{domains: map[string]*Domain{}},
		stopping: make(chan struct{}),
		sessions: map[*session]struct{}{},
	}
}

// Listen opens Options.Addr and serves it in the background.
func (s *Server) Listen() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", s.options.Addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	s.group.Go(func() { _ = s.Serve(l) }) // it ends by Close
	return addr, nil
}

// Serve accepts connections until Close, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	if !s.register(l) {
		return l.Close()
	}
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.serveConn(conn)
		case s.isClosed():
			return nil
		case !isTemporary(err):
			return err
		}
	}
}

// isTemporary holds for what an overload causes.
func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

func (s *Server) register(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners = append(s.listeners, l)
	return true
}

func (s *Server) serveConn(conn net.Conn) {
	session := newSession(s, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return
	}
	s.sessions[session] = struct{}{}
	s.group.Go(func() {
		s.counters.connected()
		session.run()
		s.counters.disconnected()
		s.mu.Lock()
		delete(s.sessions, session)
		s.mu.Unlock()
	})
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close ends all connections and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stopping)
	}
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.listeners = nil
	for session := range s.sessions {
		_ = session.raw.Close() // it may have ended by itself
	}
	s.mu.Unlock()
	s.group.Wait()
	return errors.Join(errs...)
}

// Drop ends all connections of the moment, as a crash of the server would.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		_ = session.raw.Close() // it may have ended by itself
	}
}

// Messages returns what was accepted so far, under Options.Keep.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Message(nil), s.messages...)
}

// maxViolations bounds what is remembered of a bad client.
const maxViolations = 1000

func (s *Server) violation(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) < maxViolations {
		s.violations = append(s.violations, text)
	}
}

// Violations returns what clients did that a good client does not do. It
// names commands, never addresses.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}
