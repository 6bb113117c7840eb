package smtpclient

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"
)

const (
	// blockSize is how much is written under one deadline.
	blockSize = 64 << 10
	// recordSize is the most that one TLS record carries.
	recordSize = 16 << 10
	// maxPieces keeps one vectored write below the system's limit of 1,024.
	maxPieces = 512
)

// wire is the connection below the protocol: it keeps the deadlines, lets a
// context interrupt whatever waits, and writes many pieces in few system calls.
type wire struct {
	// base carries the deadlines, conn the octets; they differ under TLS.
	base, conn net.Conn
	// record joins pieces into TLS records; nil before the first.
	record []byte

	mu sync.Mutex
	// cause is why the wire was interrupted.
	cause error
}

func newWire(conn net.Conn) *wire { return &wire{base: conn, conn: conn} }

// watch interrupts the wire when ctx ends. The function it returns ends the
// watch.
func (w *wire) watch(ctx context.Context) func() bool {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { w.interrupt(context.Cause(ctx)) })
}

// interrupt makes every read and write fail, now and from now on.
func (w *wire) interrupt(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		w.cause = cause
	}
	_ = w.base.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
}

// interrupted returns why the wire was interrupted, or nil.
func (w *wire) interrupted() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

func (w *wire) readWithin(d time.Duration) { w.readUntil(time.Now().Add(d)) }

// readUntil sets the deadline of reading, also for a read that waits already;
// the zero time is none.
func (w *wire) readUntil(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		_ = w.base.SetReadDeadline(t) // fails only on a closed connection
	}
}

func (w *wire) writeWithin(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		_ = w.base.SetWriteDeadline(time.Now().Add(d)) // fails only on a closed connection
	}
}

// bothWithin is for handshakes, which read and write.
func (w *wire) bothWithin(d time.Duration) {
	w.readWithin(d)
	w.writeWithin(d)
}

// Read implements io.Reader under the deadline set last.
func (w *wire) Read(p []byte) (int, error) { return w.conn.Read(p) }

func (w *wire) write(p []byte, within time.Duration) error {
	w.writeWithin(within)
	_, err := w.conn.Write(p)
	return err
}

// writeAll writes the pieces: as they lie in memory where the system can
// gather them, joined into records under TLS.
func (w *wire) writeAll(pieces net.Buffers, within time.Duration) error {
	w.writeWithin(within)
	if w.conn == w.base {
		_, err := pieces.WriteTo(w.conn)
		return err
	}
	if w.record == nil {
		w.record = make([]byte, 0, recordSize)
	}
	record := bytes.NewBuffer(w.record[:0])
	for _, piece := range pieces {
		for len(piece) > 0 {
			n := min(len(piece), recordSize-record.Len())
			record.Write(piece[:n])
			piece = piece[n:]
			if record.Len() < recordSize {
				continue
			}
			if _, err := record.WriteTo(w.conn); err != nil {
				return err
			}
		}
	}
	_, err := record.WriteTo(w.conn)
	return err
}
