package testmx

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// inputSize holds a usual message with its commands: it is read in one
	// system call.
	inputSize = 32 << 10
	// maxLine is generous beside RFC 5321 section 4.5.3.1.4.
	maxLine = 8192
)

var (
	errQuit    = errors.New("session is over")
	errDropped = errors.New("dropped by a rule")
)

// session is one connection. Input is read in bulk and taken apart where it
// lies; replies are written together when the input is used up.
type session struct {
	server *Server
	// raw is the TCP connection; conn is the same or TLS over it.
	raw, conn net.Conn
	remote    netip.AddrPort
	tls       *tls.ConnectionState
	input     []byte
	// start and end bound what has been read but not used.
	start, end int
	output     []byte

	hello string
	// esmtp holds after EHLO.
	esmtp bool
	user  string
	// begun holds from MAIL on; message is what is known so far.
	begun   bool
	message Message
	// chunks hold what came by BDAT.
	chunks   []byte
	chunking bool
}

func newSession(server *Server, conn net.Conn) *session {
	s := &session{server: server, raw: conn, conn: conn}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		s.remote = tcp.AddrPort()
	}
	return s
}

func (s *session) run() {
	defer s.raw.Close()
	if err := s.dialogue(); err == nil || errors.Is(err, errQuit) {
		_ = s.flush() // the client may be gone
	} else if errors.Is(err, errDropped) {
		s.server.counters.dropped.Add(1)
	}
}

func (s *session) dialogue() error {
	s.input = make([]byte, inputSize)
	if s.server.options.ImplicitTLS {
		if err := s.handshake(); err != nil {
			return err
		}
	}
	fault := s.server.rules.fault(Connect)
	if err := s.suffer(fault); err != nil {
		return err
	}
	if err := s.reply(fault, "220 "+s.server.options.Hostname+" ESMTP"); err != nil {
		return err
	}
	if fault != nil && fault.refuses() {
		return errQuit
	}
	for {
		line, err := s.line()
		if err != nil {
			return err
		}
		if err := s.command(line); err != nil {
			return err
		}
	}
}

// line returns the next command line without its end.
func (s *session) line() (string, error) {
	for {
		unread := s.input[s.start:s.end]
		i := bytes.IndexByte(unread, '\n')
		if i > maxLine || i < 0 && len(unread) > maxLine {
			s.server.violation("command line is too long")
			s.output = append(s.output, "500 5.5.2 line too long\r\n"...)
			return "", errQuit
		}
		if i >= 0 {
			s.start += i + 1
			if i == 0 || unread[i-1] != '\r' {
				s.server.violation("command line ends in a bare LF")
				return string(unread[:i]), nil
			}
			return string(unread[:i-1]), nil
		}
		if err := s.fill(); err != nil {
			return "", err
		}
	}
}

// fill reads more, after the replies so far have been sent.
func (s *session) fill() error {
	if err := s.flush(); err != nil {
		return err
	}
	if s.start > 0 {
		s.end = copy(s.input, s.input[s.start:s.end])
		s.start = 0
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(s.server.options.IdleTimeout)); err != nil {
		return err
	}
	n, err := s.conn.Read(s.input[s.end:])
	s.end += n
	if n > 0 {
		return nil
	}
	return err
}

func (s *session) flush() error {
	if len(s.output) == 0 {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.server.options.IdleTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(s.output)
	s.output = s.output[:0]
	return err
}

// suffer plays the part of a fault that comes before the answer.
func (s *session) suffer(fault *Action) error {
	if fault == nil {
		return nil
	}
	if fault.Delay > 0 {
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.wait(fault.Delay); err != nil {
			return err
		}
	}
	if fault.Drop {
		if err := s.flush(); err != nil {
			return err
		}
		return errDropped
	}
	return nil
}

func (s *session) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.server.stopping:
		return errQuit
	}
}

// reply answers: as the fault wants it, or with the usual lines.
func (s *session) reply(fault *Action, usual ...string) error {
	answer := strings.Join(usual, "\n")
	if fault == nil {
		s.output = appendReply(s.output, answer)
		s.countRefusal(answer)
		return nil
	}
	if fault.Reply != "" {
		answer = fault.Reply
	}
	octets := appendReply(nil, answer)
	if fault.Raw != nil {
		octets = fault.Raw
	}
	s.countRefusal(answer)
	if err := s.send(octets, fault.Slow); err != nil {
		return err
	}
	if fault.Close || strings.HasPrefix(answer, "421") {
		return errQuit
	}
	return nil
}

func (s *session) countRefusal(answer string) {
	if answer != "" && (answer[0] == '4' || answer[0] == '5') {
		s.server.counters.refused.Add(1)
	}
}

// appendReply ends each line of an answer by CRLF.
func appendReply(out []byte, answer string) []byte {
	for line := range strings.SplitSeq(answer, "\n") {
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// send queues octets, or writes them one by one if slow.
func (s *session) send(octets []byte, slow time.Duration) error {
	s.output = append(s.output, octets...)
	if slow == 0 {
		return nil
	}
	pending := s.output
	s.output = nil
	for i := range pending {
		if _, err := s.conn.Write(pending[i : i+1]); err != nil {
			return err
		}
		if err := s.wait(slow); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) handshake() error {
	conn := tls.Server(s.conn, s.server.options.TLSConfig)
	if err := conn.SetDeadline(time.Now().Add(s.server.options.IdleTimeout)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	s.tls, s.conn = &state, conn
	s.server.counters.tls.Add(1)
	return nil
}

// reset forgets the transaction.
func (s *session) reset() {
	s.begun, s.message = false, Message{}
	s.chunks, s.chunking = nil, false
}
