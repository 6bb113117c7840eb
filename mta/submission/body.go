package submission

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/emersion/go-smtp"
)

const (
	// headroom is kept free in front of a message for the fields that are
	// added. Its last two octets are a line end, so that the first line of a
	// message is found as any other.
	headroom = 2 << 10
	// bodyBuffer is what a message is read into at first.
	bodyBuffer = 32 << 10
	// maxPooled is the largest buffer that is kept for another message.
	maxPooled = 256 << 10
	// leastRead is the least room that is worth a read.
	leastRead = 4 << 10
	// tailLength is the longest part of an end of data that is not one yet.
	tailLength = 4
)

// buffers lends memory for messages, within a budget for all of them.
type buffers struct {
	limit atomic.Int64
	held  atomic.Int64
	pool  sync.Pool
}

func (b *buffers) take(n int64) bool {
	if b.held.Add(n) > b.limit.Load() {
		b.held.Add(-n)
		return false
	}
	return true
}

// body is a message on its way in: octets[start:] once it was read.
type body struct {
	octets []byte
	start  int
	owner  *buffers
	held   int64
}

// lend returns an empty body, or nil when the budget is spent.
func (b *buffers) lend() *body {
	octets := b.recycled()
	held := int64(cap(octets))
	if !b.take(held) {
		return nil
	}
	octets = octets[:headroom]
	copy(octets[headroom-2:], "\r\n")
	return &body{octets: octets, start: headroom, owner: b, held: held}
}

func (b *buffers) recycled() []byte {
	if octets, ok := b.pool.Get().(*[]byte); ok {
		return *octets
	}
	return make([]byte, 0, bodyBuffer)
}

// release gives the memory back. The body is not used again.
func (b *body) release() {
	if b == nil || b.octets == nil {
		return
	}
	if cap(b.octets) <= maxPooled {
		octets := b.octets[:0]
		b.owner.pool.Put(&octets)
	}
	b.owner.held.Add(-b.held)
	b.octets = nil
}

// grow makes room for a read.
func (b *body) grow() bool {
	if cap(b.octets)-len(b.octets) >= leastRead {
		return true
	}
	more := int64(cap(b.octets))
	if !b.owner.take(more) {
		return false
	}
	b.held += more
	grown := make([]byte, len(b.octets), 2*cap(b.octets))
	copy(grown, b.octets)
	b.octets = grown
	return true
}

func noMemory() *refusal {
	return refuse(452, smtp.EnhancedCode{4, 3, 1}, reasonLimit, "too much mail is being received, try again later")
}

// readDotted reads what follows DATA up to the end of data, CRLF.CRLF and
// nothing else, and takes the stuffed dots out (RFC 5321 section 4.5.2). On a
// refusal the end of data was read too, unless it was more than drain octets
// away.
func (w *wire) readDotted(b *body, limit, drain int64, tooLarge *refusal) error {
	b.octets = append(b.octets, w.in[w.start:w.stop]...)
	w.start, w.stop = 0, 0
	u := unstuffer{kept: b.start, segment: b.start, scan: b.start - 2}
	for !u.advance(b.octets) {
		var refused *refusal
		switch {
		case int64(len(b.octets)-b.start-(u.segment-u.kept)) > limit+tailLength:
			refused = tooLarge
		case !b.grow():
			refused = noMemory()
		}
		if refused != nil {
			return w.skipDotted(b.octets, drain, refused)
		}
		n, err := w.receive(b.octets[len(b.octets):cap(b.octets)])
		if err != nil {
			return err
		}
		b.octets = b.octets[:len(b.octets)+n]
	}
	w.unread(b.octets[u.end:])
	b.octets = b.octets[:u.kept]
	if int64(len(b.octets)-b.start) > limit {
		return tooLarge
	}
	return nil
}

// unread puts back what came behind the end of data.
func (w *wire) unread(rest []byte) {
	if len(rest) > len(w.in) {
		w.in = make([]byte, len(rest))
	}
	w.start, w.stop = 0, copy(w.in, rest)
}

// skipDotted reads on up to the end of data without keeping it, in the memory
// of octets, which end where it begins.
func (w *wire) skipDotted(octets []byte, drain int64, refused *refusal) error {
	terminator := []byte("\r\n.\r\n")
	window := octets[:cap(octets)]
	tail := copy(window, octets[max(0, len(octets)-tailLength):])
	for {
		n, err := w.receive(window[tail:])
		if err != nil {
			return err
		}
		seen := window[:tail+n]
		if i := bytes.Index(seen, terminator); i >= 0 {
			w.unread(seen[i+len(terminator):])
			return refused
		}
		if drain -= int64(n); drain < 0 {
			w.closing = true
			return refused
		}
		tail = copy(window, seen[max(0, len(seen)-tailLength):])
	}
}

// unstuffer works through a growing buffer in place.
type unstuffer struct {
	kept    int // octets up to here are final
	segment int // octets from here are not moved yet
	scan    int // octets before here hold no line that begins with a dot
	end     int // just behind the end of data
}

// advance reports whether the end of data was found.
func (u *unstuffer) advance(octets []byte) bool {
	for {
		i := bytes.Index(octets[u.scan:], []byte("\r\n."))
		if i < 0 {
			u.scan = max(u.scan, len(octets)-2)
			return false
		}
		u.scan += i
		dot := u.scan + 2
		if len(octets) < dot+3 {
			return false
		}
		if octets[dot+1] == '\r' && octets[dot+2] == '\n' {
			u.move(octets, dot)
			u.end = dot + 3
			return true
		}
		u.move(octets, dot)
		u.segment, u.scan = dot+1, dot+1
	}
}

func (u *unstuffer) move(octets []byte, to int) {
	if u.kept != u.segment {
		copy(octets[u.kept:], octets[u.segment:to])
	}
	u.kept += max(0, to-u.segment)
}
