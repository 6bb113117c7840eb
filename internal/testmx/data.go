package testmx

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"
)

// data answers DATA and takes the message.
func (s *session) data() error {
	addresses := s.addresses()
	fault := s.server.rules.fault(DATA, addresses...)
	if done, err := s.answer(fault); done {
		return err
	}
	if s.chunking || (len(addresses) == 0 && (fault == nil || fault.Reply == "")) {
		if !s.pipelines() {
			s.server.violation("DATA without a recipient")
		}
		return s.reply(nil, "503 5.5.1 no valid recipients")
	}
	if err := s.reply(fault, "354 go ahead"); err != nil {
		return err
	}
	// The rule for the message is asked now, since it may strike in its midst.
	after := s.server.rules.fault(Content, addresses...)
	body, err := s.content(after)
	if err != nil {
		return err
	}
	return s.finish(after, body)
}

func (s *session) addresses() []string {
	if len(s.server.rules.rules) == 0 && len(s.message.Recipients) > 0 {
		return []string{""} // nobody will look at them
	}
	out := make([]string, len(s.message.Recipients))
	for i, r := range s.message.Recipients {
		out[i] = r.Address
	}
	return out
}

// body collects what comes between 354 and the final dot, or only counts it.
type body struct {
	octets []byte
	size   int64
	keep   bool
	// limit is where a rule drops the connection; zero for nowhere.
	limit int64
}

func (b *body) add(p []byte) error {
	b.size += int64(len(p))
	if b.limit > 0 && b.size >= b.limit {
		return errDropped
	}
	if b.keep {
		b.octets = append(b.octets, p...)
	}
	return nil
}

func (s *session) newBody(fault *Action) *body {
	o := &s.server.options
	b := &body{keep: o.Keep || o.OnMessage != nil || o.Strict}
	if fault != nil {
		b.limit = fault.DropAfter
	}
	return b
}

// content reads up to the line with a single dot.
func (s *session) content(fault *Action) (*body, error) {
	b := s.newBody(fault)
	for s.end-s.start < 3 {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(s.input[s.start:s.end], []byte(".\r\n")) {
		s.start += 3
		return b, nil
	}
	final := []byte("\r\n.\r\n")
	for {
		unread := s.input[s.start:s.end]
		if i := bytes.Index(unread, final); i >= 0 {
			s.start += i + len(final)
			return b, b.add(unread[:i+2])
		}
		// The last octets may be the beginning of the end.
		if sure := len(unread) - len(final) + 1; sure > 0 {
			if err := b.add(unread[:sure]); err != nil {
				return nil, err
			}
			s.start += sure
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// finish answers a message and, if it is accepted, keeps it.
func (s *session) finish(fault *Action, b *body) error {
	message := s.message
	s.reset()
	message.Size, message.Time = b.size, time.Now()
	if b.keep {
		message.Data = unstuff(b.octets)
		message.Size = int64(len(message.Data))
	}
	if fault != nil && fault.refuses() {
		s.server.counters.refusedRecipients(addressesOf(&message)...)
	}
	if done, err := s.answer(fault); done {
		return err
	}
	if err := s.reply(fault, s.deliver(&message)); err != nil {
		return err
	}
	return nil
}

func addressesOf(m *Message) []string {
	out := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		out[i] = r.Address
	}
	return out
}

// deliver keeps an accepted message and returns the answer.
func (s *session) deliver(m *Message) string {
	o := &s.server.options
	switch {
	case len(m.Recipients) == 0:
		return "554 5.5.1 no valid recipients"
	case o.MaxSize > 0 && m.Size > o.MaxSize:
		return "552 5.3.4 too large"
	}
	if o.Strict {
		s.checkContent(m)
	}
	if o.OnMessage != nil {
		if err := o.OnMessage(m); err != nil {
			return "451 4.3.0 not kept"
		}
	}
	s.server.counters.accepted(m.Recipients, m.Size)
	if o.Keep {
		s.server.mu.Lock()
		s.server.messages = append(s.server.messages, m)
		s.server.mu.Unlock()
	}
	return "250 2.0.0 ok"
}

// bdat takes one chunk (RFC 3030 section 2).
func (s *session) bdat(argument string) error {
	fields := strings.Fields(argument)
	last := len(fields) == 2 && strings.EqualFold(fields[1], "LAST")
	if len(fields) == 0 || len(fields) == 2 && !last || len(fields) > 2 {
		s.server.violation("malformed BDAT")
		return s.reply(nil, "501 5.5.4 malformed BDAT")
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || size < 0 {
		s.server.violation("malformed BDAT")
		return s.reply(nil, "501 5.5.4 malformed BDAT")
	}
	if s.server.options.Without.Chunking {
		s.server.violation("BDAT without offer")
	}
	fault := s.server.rules.fault(Content, s.addresses()...)
	b := s.newBody(fault)
	b.keep = true
	if err := s.chunk(b, size); err != nil {
		return err
	}
	if len(s.message.Recipients) == 0 {
		return s.reply(nil, "503 5.5.1 no valid recipients")
	}
	s.chunks, s.chunking = append(s.chunks, b.octets...), true
	if !last {
		return s.reply(nil, "250 2.0.0 chunk taken")
	}
	return s.finishChunks(fault)
}

func (s *session) finishChunks(fault *Action) error {
	message := s.message
	message.Data, message.Size, message.Time = s.chunks, int64(len(s.chunks)), time.Now()
	s.reset()
	if done, err := s.answer(fault); done {
		s.server.counters.refusedRecipients(addressesOf(&message)...)
		return err
	}
	return s.reply(fault, s.deliver(&message))
}

// chunk reads exactly size octets.
func (s *session) chunk(b *body, size int64) error {
	for size > 0 {
		if s.start == s.end {
			if err := s.fill(); err == io.EOF {
				s.server.violation("connection closed inside a chunk")
				return err
			} else if err != nil {
				return err
			}
		}
		n := min(size, int64(s.end-s.start))
		if err := b.add(s.input[s.start : s.start+int(n)]); err != nil {
			return err
		}
		s.start += int(n)
		size -= n
	}
	return nil
}
