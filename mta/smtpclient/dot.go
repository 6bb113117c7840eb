package smtpclient

import (
	"bytes"
	"net"
	"time"
)

// dataWriter writes a message as RFC 5321 section 4.5.2 wants it after DATA:
// dot-stuffed and ended by a line with a single dot.
//
// Only CRLF ends a line for a server that keeps to the rules, but there are
// servers for which a bare CR, a bare LF or a NUL does, and a dot after one of
// those could end the message for them and turn its rest into commands (SMTP
// smuggling). So a dot is doubled after any of the four. In a message without
// bare CR, bare LF and NUL, as every caller should hand over, this is the
// RFC's dot-stuffing and no more; in any other one a server may see one dot too
// many, and never an end too early.
type dataWriter struct {
	wire  *wire
	block time.Duration
	// pieces wait for the next write; size is their sum.
	pieces net.Buffers
	size   int
	// tail is where the message ends so far.
	tail tail
	// ending is the longest end of a message; every dot added is its middle.
	ending []byte
}

func newDataWriter(w *wire, block time.Duration) *dataWriter {
	return &dataWriter{
		wire: w, block: block,
		pieces: make(net.Buffers, 0, 16),
		tail:   newTail(),
		ending: []byte("\r\n.\r\n"),
	}
}

// begin starts anew, whatever became of what was added before.
func (d *dataWriter) begin() {
	d.forget()
	d.tail = newTail()
}

// forget lets go of the pieces, so that an idle connection keeps no message.
func (d *dataWriter) forget() {
	clear(d.pieces)
	d.pieces, d.size = d.pieces[:0], 0
}

// message adds a whole message with its end. What is not written yet goes with
// what is added next, or by flush.
func (d *dataWriter) message(pieces [][]byte) error {
	for _, piece := range pieces {
		if err := d.write(piece); err != nil {
			return err
		}
	}
	return d.end()
}

// chunk adds a whole message as it is, its last line ended (RFC 3030 knows no
// dots).
func (d *dataWriter) chunk(pieces [][]byte) error {
	for _, piece := range pieces {
		d.tail.remember(piece)
		if err := d.add(piece); err != nil {
			return err
		}
	}
	return d.add(d.ending[2-d.tail.missing() : 2])
}

// write adds one piece of the message.
func (d *dataWriter) write(piece []byte) error {
	start := 0
	for i := 0; i < len(piece); i++ {
		next := bytes.IndexByte(piece[i:], '.')
		if next < 0 {
			break
		}
		i += next
		if !startsLine(d.octetBefore(piece, i)) {
			continue
		}
		if err := d.add(piece[start:i]); err != nil {
			return err
		}
		if err := d.add(d.ending[2:3]); err != nil {
			return err
		}
		start = i
	}
	d.tail.remember(piece)
	return d.add(piece[start:])
}

// octetBefore returns what precedes piece[i], be it in an earlier piece.
func (d *dataWriter) octetBefore(piece []byte, i int) byte {
	if i == 0 {
		return d.tail.last
	}
	return piece[i-1]
}

// startsLine reports whether some server takes what follows c for the
// beginning of a line.
func startsLine(c byte) bool { return c == '\n' || c == '\r' || c == 0 }

// end closes the last line where the message does not, and adds the final dot.
func (d *dataWriter) end() error { return d.add(d.ending[2-d.tail.missing():]) }

// tail is the last two octets of a message.
type tail struct{ before, last byte }

// newTail is that of an empty message, which lacks no line end.
func newTail() tail { return tail{'\r', '\n'} }

func (t *tail) remember(piece []byte) {
	switch n := len(piece); n {
	case 0:
	case 1:
		t.before, t.last = t.last, piece[0]
	default:
		t.before, t.last = piece[n-2], piece[n-1]
	}
}

// missing returns how many octets of CRLF the last line lacks.
func (t *tail) missing() int {
	switch {
	case t.before == '\r' && t.last == '\n':
		return 0
	case t.last == '\r':
		return 1
	}
	return 2
}

// add queues octets as they are, writing whenever a block is full.
func (d *dataWriter) add(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), blockSize-d.size)
		d.pieces = append(d.pieces, p[:n])
		d.size += n
		p = p[n:]
		if d.size < blockSize && len(d.pieces) < maxPieces {
			continue
		}
		if err := d.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataWriter) flush() error {
	if d.size == 0 {
		return nil
	}
	err := d.wire.writeAll(d.pieces, d.block)
	d.forget()
	return err
}
