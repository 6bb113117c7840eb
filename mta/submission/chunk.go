package submission

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"
)

// vetChunk executes BDAT (RFC 3030 section 2) here. go-smtp reads chunks in a
// goroutine that outlives a RSET and then answers for the next message, and it
// takes a chunk that the client cut short for a whole one.
func (p *peer) vetChunk(argument string) ([]byte, *refusal) {
	size, last, ok := parseChunk(argument)
	switch {
	case !ok:
		// Nobody can tell the octets of the chunk from commands.
		p.wire.closing = true
		return nil, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "BDAT needs a size, and LAST or nothing")
	case size > p.limits.MessageSize+p.limits.Drain:
		p.wire.closing = true
		return nil, p.tooLarge()
	case !p.session.ready():
		if p.wire.skip(size) != nil {
			return nil, nil
		}
		return nil, refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "MAIL and an accepted RCPT come first")
	}
	err := p.chunk(size)
	switch {
	case p.wire.broken:
		return nil, nil
	case err == nil && !last:
		p.wire.emit(fmt.Appendf(nil, "250 2.0.0 %d octets received\r\n", size))
		return nil, nil
	case err == nil:
		err = p.finish()
	}
	return p.forget(), err
}

func parseChunk(argument string) (size int64, last, ok bool) {
	fields := strings.Fields(argument)
	if len(fields) == 0 || len(fields) > 2 {
		return 0, false, false
	}
	last = len(fields) == 2
	if last && !strings.EqualFold(fields[1], "LAST") {
		return 0, false, false
	}
	n, err := strconv.ParseUint(fields[0], 10, 32)
	return int64(n), last, err == nil
}

// chunk reads the octets of one BDAT, to the last even when it refuses them.
func (p *peer) chunk(size int64) *refusal {
	p.session.tx.chunked = true
	refused := p.session.reserve()
	b := p.session.tx.body
	if b != nil && int64(len(b.octets)-b.start)+size > p.limits.MessageSize {
		refused = p.tooLarge()
	}
	for size > 0 && refused == nil {
		if !b.grow() {
			refused = noMemory()
			break
		}
		free := b.octets[len(b.octets):cap(b.octets)]
		n, err := p.wire.take(free[:min(size, int64(len(free)))])
		if err != nil {
			return nil
		}
		b.octets = b.octets[:len(b.octets)+n]
		size -= int64(n)
	}
	p.wire.skip(size)
	return refused
}

func (p *peer) finish() *refusal {
	done, err := p.session.submit(p.session.tx.body)
	if err != nil {
		return asRefusal(err)
	}
	p.wire.emit(fmt.Appendf(nil, "250 2.0.0 %s\r\n", done))
	return nil
}

// forget ends the transaction for go-smtp too, which has not seen its message:
// the line to pass on is a RSET whose reply is for nobody.
func (p *peer) forget() []byte {
	p.session.Reset()
	p.wire.swallow = true
	return []byte("RSET")
}

// take reads at most len(p) octets of content.
func (w *wire) take(p []byte) (int, error) {
	if w.start < w.stop {
		n := copy(p, w.in[w.start:w.stop])
		w.start += n
		return n, nil
	}
	return w.receive(p)
}

// skip reads n octets for nothing.
func (w *wire) skip(n int64) error {
	window := make([]byte, min(n, bodyBuffer))
	for n > 0 {
		got, err := w.take(window[:min(n, int64(len(window)))])
		if err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}
