package smtpclient

import (
	"net"
	"syscall"
	"testing"
)

// countingConn counts how often the direction turns from writing to reading.
type countingConn struct {
	net.Conn
	turns, writes int
	writing       bool
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	c.writing = true
	return c.Conn.Write(p)
}

func (c *countingConn) Read(p []byte) (int, error) {
	if c.writing {
		c.turns++
		c.writing = false
	}
	return c.Conn.Read(p)
}

// scripted is a server that says lines in turn, the first on connection and
// each further one after a line of the client's; it closes after the last.
func scripted(t *testing.T, lines ...string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		play(conn, lines)
	}()
	t.Cleanup(func() {
		_ = l.Close() // ends the goroutine where nobody connected
		<-done
	})
	return l
}

func play(conn net.Conn, lines []string) {
	buffer := make([]byte, 4096)
	for i, line := range lines {
		if i > 0 {
			if n, err := conn.Read(buffer); n == 0 || err != nil {
				return
			}
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			return
		}
	}
	_, _ = conn.Read(buffer) // until the client closes or says more
}

// brokenPipe refuses to write after so many octets, as a socket does whose
// other end was shut.
type brokenPipe struct {
	net.Conn
	after int
}

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.after -= len(p); b.after < 0 {
		return 0, syscall.EPIPE
	}
	return b.Conn.Write(p)
}
