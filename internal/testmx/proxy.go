package testmx

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ProxyOptions say where a Proxy leads and how far away that is.
type ProxyOptions struct {
	// Target is connected to for each connection.
	Target netip.AddrPort
	// Delay is what a packet takes in one direction.
	Delay time.Duration
	// Addr to listen on; empty for 127.0.0.1:0.
	Addr string
}

// Proxy hands TCP connections on and delays what they carry, as a distance
// does: the bandwidth is not limited, and the handshake of a connection takes
// its round trip before the target sees it.
type Proxy struct {
	options  ProxyOptions
	listener net.Listener
	stopping chan struct{}
	group    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// NewProxy returns a proxy that listens nowhere yet.
func NewProxy(o ProxyOptions) *Proxy {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	return &Proxy{options: o, stopping: make(chan struct{}), conns: map[net.Conn]struct{}{}}
}

// Listen opens the proxy's address and serves it in the background.
func (p *Proxy) Listen() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", p.options.Addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	p.listener = l
	p.group.Go(p.accept)
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.track(conn) {
			p.group.Go(func() { p.serve(conn) })
		}
	}
}

// track lets Close end the connection.
func (p *Proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) forget(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *Proxy) serve(near net.Conn) {
	defer p.forget(near)
	if !p.wait(2 * p.options.Delay) {
		return
	}
	far, err := net.Dial("tcp", p.options.Target.String())
	if err != nil {
		return
	}
	if !p.track(far) {
		return
	}
	defer p.forget(far)
	var both sync.WaitGroup
	both.Go(func() { p.carry(far, near) })
	both.Go(func() { p.carry(near, far) })
	both.Wait()
}

// wait reports false if the proxy closes meanwhile.
func (p *Proxy) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stopping:
		return false
	}
}

// parcel is what one read returned.
type parcel struct {
	octets []byte
	due    time.Time
}

// inFlight bounds how many parcels are under way in one direction: at 32 KiB
// each far more than a test sends in one delay.
const inFlight = 4096

// carry hands on what from sends, each part after the delay, and at last its
// end.
func (p *Proxy) carry(to, from net.Conn) {
	way := make(chan parcel, inFlight)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(way)
		p.read(from, way)
	})
	if !p.deliver(to, way) {
		_ = from.Close() // lets the reader end
	}
	for range way {
		continue // what cannot be delivered any more
	}
	reader.Wait()
}

// deliver reports whether everything arrived, the end included.
func (p *Proxy) deliver(to net.Conn, way <-chan parcel) bool {
	for next := range way {
		if !p.wait(time.Until(next.due)) {
			return false
		}
		if next.octets == nil {
			closeWrite(to)
			return true
		}
		if _, err := to.Write(next.octets); err != nil {
			return false
		}
	}
	return true
}

// read sends off what it gets, and an empty parcel at the end.
func (p *Proxy) read(from net.Conn, way chan<- parcel) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			way <- parcel{append([]byte(nil), buffer[:n]...), time.Now().Add(p.options.Delay)}
		}
		if err != nil {
			way <- parcel{nil, time.Now().Add(p.options.Delay)}
			return
		}
	}
}

// closeWrite ends one direction, or what cannot be ended by halves.
func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // the other side may be gone
		return
	}
	_ = conn.Close()
}

// Distance returns the ends of a connection that stays in the process and
// delays what it carries by so much in each direction. It keeps to the clock of
// a testing/synctest bubble. Closing either end ends it.
func Distance(delay time.Duration) (near, far net.Conn) {
	p := NewProxy(ProxyOptions{Delay: delay})
	near, here := net.Pipe()
	far, there := net.Pipe()
	go p.carry(there, here) // both end when an end is closed
	go p.carry(here, there)
	return near, far
}

// Close ends all connections and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stopping)
	}
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	p.group.Wait()
	return err
}
