package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// patience is how long one message may take before the benchmark gives up.
	patience = 2 * time.Minute
	// replySize holds the longest line of a reply (RFC 5321 section 4.5.3.1.5).
	replySize = 1024
)

// session is one connection. Each message takes two flights: the envelope with
// DATA, then the content (RFC 2920).
type session struct {
	conn    net.Conn
	replies *bufio.Reader
	stop    func() bool
}

func dial(ctx context.Context, address string) (*session, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, replies: bufio.NewReaderSize(conn, replySize)}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := s.greet(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) greet() error {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := s.expect("220"); err != nil {
		return err
	}
	if _, err := s.conn.Write([]byte("EHLO generator.bench.example\r\n")); err != nil {
		return err
	}
	return s.expect("250")
}

// close says goodbye and does not wait for the answer.
func (s *session) close() {
	s.stop()
	_, _ = s.conn.Write([]byte("QUIT\r\n"))
	_ = s.conn.Close()
}

func (s *session) send(l *Letter, number int, reader string) error {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	envelope := fmt.Appendf(nil, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", l.Sender, reader)
	if _, err := s.conn.Write(envelope); err != nil {
		return err
	}
	if err := s.expect("250", "250", "354"); err != nil {
		return err
	}
	content := net.Buffers{l.head(number, reader), l.body, []byte(".\r\n")}
	if _, err := content.WriteTo(s.conn); err != nil {
		return err
	}
	return s.expect("250")
}

// expect reads a reply for each code.
func (s *session) expect(codes ...string) error {
	for _, code := range codes {
		line, err := s.reply()
		if err != nil {
			return err
		}
		if string(line[:3]) != code {
			return fmt.Errorf("%w: %q instead of %s", ErrRefused, line, code)
		}
	}
	return nil
}

// reply returns the last line of the next reply.
func (s *session) reply() ([]byte, error) {
	for {
		line, err := s.replies.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return nil, fmt.Errorf("%w: %q is no reply", ErrRefused, line)
		}
		if len(line) == 3 || line[3] != '-' {
			return line, nil
		}
	}
}
