package submission

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// wireBuffer is what a connection keeps for input while it idles.
	wireBuffer = 4 << 10
	// maxLine bounds a command line; RFC 4954 section 4 asks for 12288 octets
	// in AUTH.
	maxLine = 12288 + 2
	// maxPendingReplies is how much output waits for company.
	maxPendingReplies = 16 << 10
)

// front decides about command lines before go-smtp sees them.
type front interface {
	// command returns the line to pass on, without its end, or nil once it
	// was answered here.
	command(line []byte) []byte
	// busy reports a transaction that a shutdown should let finish.
	busy() bool
	// replied is told the code of every complete reply.
	replied(code string)
}

// wire is the net.Conn that go-smtp is given. It belongs to the goroutine
// that serves the connection; only drain and abort may be called by others.
//
// Input goes to go-smtp by the line; output waits until input must be waited
// for, so that the replies to pipelined commands share one write.
type wire struct {
	socket net.Conn // for deadlines and the end; never replaced
	stream net.Conn // the socket, or PROXY or TLS over it
	front  front

	idle, write time.Duration
	end         time.Time

	in          []byte // input not yet handed on is in[start:stop]
	start, stop int
	line        []byte // being handed to go-smtp
	out         []byte

	verb       string // the command being executed
	sasl       bool   // the next line is a SASL response
	swallow    bool   // the next reply is for nobody: a second greeting, a RSET of ours
	upgrading  bool   // STARTTLS was granted
	encrypted  bool   // the stream is TLS
	requireTLS bool   // REQUIRETLS is offered under TLS
	closing    bool   // nothing is read any more
	broken     bool   // nothing is written any more

	draining atomic.Bool
}

var _ net.Conn = (*wire)(nil)

func newWire(socket net.Conn, f front, idle, write time.Duration, end time.Time) *wire {
	return &wire{
		socket: socket, stream: socket, front: f, idle: idle, write: write, end: end,
		in: make([]byte, wireBuffer),
	}
}

// Read hands on a command line.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.line) == 0 {
		if err := w.nextLine(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.line)
	w.line = w.line[n:]
	return n, nil
}

// nextLine finds a line that go-smtp is to see. Every end of the connection is
// an io.EOF to go-smtp: what there was to say was said here.
func (w *wire) nextLine() error {
	for {
		if w.closing || w.upgrading {
			w.flush()
			return io.EOF
		}
		line, err := w.takeLine()
		if err != nil {
			return io.EOF
		}
		if w.sasl {
			w.sasl = false
			if refused := checkLine(line); refused != nil {
				w.leave(refused)
				continue
			}
		} else if line = w.front.command(line); line == nil {
			continue
		}
		w.line = append(append(make([]byte, 0, len(line)+2), line...), '\r', '\n')
		return nil
	}
}

// takeLine returns the next line without its CRLF. It is valid until the next
// read. A bare LF ends a line too, but is kept for the front to refuse.
func (w *wire) takeLine() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(w.in[w.start+searched:w.stop], '\n'); i >= 0 {
			end := w.start + searched + i + 1
			line := w.in[w.start:end]
			w.start = end
			return bytes.TrimSuffix(line, []byte("\r\n")), nil
		}
		searched = w.stop - w.start
		if searched > maxLine {
			return nil, w.leave(refuse(500, smtp.EnhancedCode{5, 5, 2}, reasonSyntax, "line too long"))
		}
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
}

// fill waits for more input.
func (w *wire) fill() error {
	if w.start > 0 {
		w.stop = copy(w.in, w.in[w.start:w.stop])
		w.start = 0
	}
	switch {
	case w.stop == 0 && len(w.in) > wireBuffer:
		w.in = make([]byte, wireBuffer)
	case w.stop == len(w.in):
		w.in = append(w.in, make([]byte, len(w.in))...)
	}
	n, err := w.receive(w.in[w.stop:])
	w.stop += n
	return err
}

// receive reads from the peer into p, after all replies are out. On an error
// the connection is over.
func (w *wire) receive(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	for {
		deadline := time.Now().Add(w.idle)
		if w.end.Before(deadline) {
			deadline = w.end
		}
		w.socket.SetReadDeadline(deadline)
		if w.draining.Load() && !w.sasl && !w.front.busy() {
			return 0, w.leave(refuse(421, smtp.EnhancedCode{4, 3, 2}, reasonLimit, "shutting down, try again later"))
		}
		n, err := w.stream.Read(p)
		if n > 0 {
			return n, nil
		}
		var timeout net.Error
		switch {
		case err == nil:
		case !errors.As(err, &timeout) || !timeout.Timeout():
			w.closing, w.broken = true, true
			return 0, io.ErrUnexpectedEOF
		case time.Now().Before(deadline):
			// drain woke this read; what is busy goes on.
		default:
			return 0, w.leave(refuse(421, smtp.EnhancedCode{4, 4, 2}, reasonLimit, "time is up, closing the connection"))
		}
	}
}

// leave says a last word and ends the connection.
func (w *wire) leave(last *refusal) error {
	w.answer(last)
	w.closing = true
	w.flush()
	w.broken = true
	return io.ErrUnexpectedEOF
}

// answer queues a reply of our own.
func (w *wire) answer(r *refusal) {
	if !w.broken {
		w.emit(r.line())
	}
}

// Write queues what go-smtp says: one whole reply line a call.
func (w *wire) Write(p []byte) (int, error) {
	switch {
	case w.broken:
	case w.swallow:
		w.swallow = false
	default:
		w.emit(amend(w.verb, p))
		if w.encrypted && w.requireTLS && w.verb == "EHLO" && bytes.HasPrefix(p, []byte("250-PIPELINING")) {
			w.emit([]byte("250-REQUIRETLS\r\n")) // go-smtp does not see the TLS
		}
		if len(w.out) > maxPendingReplies {
			return len(p), w.flush()
		}
	}
	return len(p), nil
}

func (w *wire) emit(line []byte) {
	w.out = append(w.out, line...)
	if len(line) < 4 || line[3] == '-' {
		return
	}
	code := string(line[:3])
	w.sasl = code == "334"
	w.closing = w.closing || code == "421" || code == "221"
	w.front.replied(code)
}

func (w *wire) flush() error {
	if len(w.out) == 0 || w.broken {
		return nil
	}
	w.socket.SetWriteDeadline(time.Now().Add(w.write))
	_, err := w.stream.Write(w.out)
	w.out = w.out[:0]
	if cap(w.out) > wireBuffer {
		w.out = nil
	}
	if err != nil {
		w.closing, w.broken = true, true
	}
	return err
}

// drain ends the connection as soon as no transaction is open.
func (w *wire) drain() {
	w.draining.Store(true)
	w.socket.SetReadDeadline(time.Now())
}

// abort ends the connection at once.
func (w *wire) abort() { w.socket.Close() }

// Close is called by go-smtp when it is done, which is not the end where TLS
// comes next.
func (w *wire) Close() error {
	w.flush()
	if w.upgrading {
		return nil
	}
	w.closing, w.broken = true, true
	return w.stream.Close()
}

// secure goes on over stream, as if the connection had just begun (RFC 3207
// section 4.2).
func (w *wire) secure(stream net.Conn) {
	w.stream, w.encrypted = stream, true
	w.upgrading, w.swallow = false, true
	w.verb = ""
}

// LocalAddr returns our end of the socket.
func (w *wire) LocalAddr() net.Addr { return w.socket.LocalAddr() }

// RemoteAddr returns the other end of the socket.
func (w *wire) RemoteAddr() net.Addr { return w.socket.RemoteAddr() }

// SetDeadline does nothing: the wire keeps its own deadlines.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: the wire keeps its own deadlines.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: the wire keeps its own deadlines.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
