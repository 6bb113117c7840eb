package limit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Connections bounds how many connections each client may have at once, over
// all listeners it is put before.
type Connections struct {
	exempt  Networks
	limit   int
	refused func()

	mutex sync.Mutex
	open  map[netip.Addr]int
}

// NewConnections calls refused for each connection that is one too many. A
// limit of zero or less is none.
func NewConnections(limit int, exempt Networks, refused func()) *Connections {
	return &Connections{exempt: exempt, limit: limit, refused: refused, open: map[netip.Addr]int{}}
}

// Listen puts the limit before a listener: what is too many is closed before
// anything is read from it, a TLS handshake included.
func (c *Connections) Listen(l net.Listener) net.Listener {
	if c.limit <= 0 {
		return l
	}
	return &listener{l, c}
}

// listener is a net.Listener whose clients are counted.
type listener struct {
	net.Listener
	connections *Connections
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		counted, ok := l.connections.take(conn)
		if ok {
			return counted, nil
		}
		l.connections.refused()
		conn.Close() // nothing was promised on it
	}
}

// take counts a connection until it is closed. Peers without an address, those
// of a unix socket, have no limit.
func (c *Connections) take(conn net.Conn) (net.Conn, bool) {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return conn, true
	}
	addr := tcp.AddrPort().Addr()
	if c.exempt.Contain(addr) {
		return conn, true
	}
	client := Client(addr)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.open[client] >= c.limit {
		return nil, false
	}
	c.open[client]++
	return &counted{Conn: conn, release: sync.OnceFunc(func() { c.release(client) })}, true
}

func (c *Connections) release(client netip.Addr) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.open[client]--; c.open[client] <= 0 {
		delete(c.open, client)
	}
}

// counted is a connection that is given back when it is closed.
type counted struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite passes on what net/http does before it closes for good.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
