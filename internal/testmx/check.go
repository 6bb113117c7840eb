package testmx

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// pipelines reports whether this client may send ahead.
func (s *session) pipelines() bool { return s.esmtp && !s.server.options.Without.Pipelining }

// checkPipelining looks for input behind a command that must wait (RFC 2920
// section 3.1).
func (s *session) checkPipelining(verb string) {
	if s.start == s.end {
		return
	}
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "NOOP":
		s.server.violation("text behind " + verb)
	case "MAIL", "RCPT", "RSET", "QUIT":
		if !s.pipelines() {
			s.server.violation("pipelining without offer")
		}
	}
}

// checkMail looks for parameters that were not offered.
func (s *session) checkMail(path string, parameters []string) {
	without := s.server.options.Without
	for _, p := range parameters {
		key, value, _ := strings.Cut(p, "=")
		switch strings.ToUpper(key) {
		case "SIZE":
			s.checkOffer(without.Size, "SIZE")
			if _, err := strconv.ParseUint(value, 10, 63); err != nil {
				s.server.violation("malformed SIZE")
			}
		case "BODY":
			s.checkOffer(without.EightBitMIME, "BODY")
		case "SMTPUTF8":
			s.checkOffer(without.SMTPUTF8, "SMTPUTF8")
		case "RET", "ENVID":
			s.checkOffer(without.DSN, "DSN")
		case "AUTH":
		default:
			s.server.violation("unknown parameter of MAIL")
		}
	}
	if _, utf8 := parameter(parameters, "SMTPUTF8"); !utf8 && !mail.IsASCII(path) {
		s.server.violation("non-ASCII sender without SMTPUTF8")
	}
}

func (s *session) checkRcpt(path string, parameters []string) {
	for _, p := range parameters {
		key, _, _ := strings.Cut(p, "=")
		switch strings.ToUpper(key) {
		case "NOTIFY", "ORCPT":
			s.checkOffer(s.server.options.Without.DSN, "DSN")
		default:
			s.server.violation("unknown parameter of RCPT")
		}
	}
	if _, utf8 := s.message.Parameter("SMTPUTF8"); !utf8 && !mail.IsASCII(path) {
		s.server.violation("non-ASCII recipient without SMTPUTF8")
	}
}

func (s *session) checkOffer(without bool, name string) {
	if without || !s.esmtp {
		s.server.violation(name + " without offer")
	}
}

// checkContent looks for what RFC 5321 section 2.3.8 and RFC 5322 section 2.1.1
// forbid, and for octets that were not announced.
func (s *session) checkContent(m *Message) {
	value, _ := m.Parameter("SIZE")
	if size, err := strconv.ParseInt(value, 10, 64); err == nil && size != m.Size {
		s.server.violation("SIZE differs from the message")
	}
	_, utf8 := m.Parameter("SMTPUTF8")
	eight, _ := m.Parameter("BODY")
	if !utf8 && !strings.EqualFold(eight, "8BITMIME") && !mail.IsASCII(m.Data) {
		s.server.violation("8-bit content without BODY=8BITMIME")
	}
	if bytes.IndexByte(m.Data, 0) >= 0 {
		s.server.violation("NUL in the message")
	}
	for line := range bytes.Lines(m.Data) {
		content, ok := bytes.CutSuffix(line, []byte("\r\n"))
		switch {
		case !ok:
			s.server.violation("bare LF in the message")
		case bytes.IndexByte(content, '\r') >= 0:
			s.server.violation("bare CR in the message")
		case len(content) > 998:
			s.server.violation("line longer than 998 octets")
		}
	}
}
