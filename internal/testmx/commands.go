package testmx

import (
	"strconv"
	"strings"
)

// command answers one command line.
func (s *session) command(line string) error {
	verb, argument, _ := strings.Cut(line, " ")
	s.checkPipelining(verb)
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		return s.sayHello(strings.ToUpper(verb) == "EHLO", argument)
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.authenticate(argument)
	case "MAIL":
		return s.mail(argument)
	case "RCPT":
		return s.rcpt(argument)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(argument)
	case "RSET":
		return s.simple(RSET, "250 2.0.0 ok")
	case "NOOP":
		return s.simple(NOOP, "250 2.0.0 ok")
	case "QUIT":
		if err := s.simple(QUIT, "221 2.0.0 bye"); err != nil {
			return err
		}
		return errQuit
	}
	s.server.violation("unknown command")
	return s.reply(nil, "500 5.5.2 unknown command")
}

// answer plays the fault of a command; done reports that the command must have
// no effect.
func (s *session) answer(fault *Action) (done bool, err error) {
	if err := s.suffer(fault); err != nil {
		return true, err
	}
	if fault != nil && fault.refuses() {
		return true, s.reply(fault)
	}
	return false, nil
}

func (s *session) simple(c Command, usual string) error {
	fault := s.server.rules.fault(c)
	if done, err := s.answer(fault); done {
		return err
	}
	if c == RSET {
		s.reset()
	}
	return s.reply(fault, usual)
}

func (s *session) sayHello(extended bool, name string) error {
	fault := s.server.rules.fault(EHLO)
	if done, err := s.answer(fault); done {
		return err
	}
	if extended && s.server.options.Without.EHLO {
		return s.reply(fault, "502 5.5.1 EHLO not implemented")
	}
	if name == "" {
		s.server.violation("EHLO without a name")
	}
	s.reset()
	s.hello, s.esmtp = name, extended
	if !extended {
		return s.reply(fault, "250 "+s.server.options.Hostname)
	}
	return s.reply(fault, s.offers()...)
}

// offers returns the lines of an EHLO reply.
func (s *session) offers() []string {
	o := &s.server.options
	lines := []string{o.Hostname}
	add := func(without bool, line string) {
		if !without {
			lines = append(lines, line)
		}
	}
	add(o.Without.Pipelining, "PIPELINING")
	add(o.Without.EightBitMIME, "8BITMIME")
	add(o.Without.SMTPUTF8, "SMTPUTF8")
	add(o.Without.DSN, "DSN")
	add(o.Without.Chunking, "CHUNKING")
	add(o.Without.EnhancedStatusCodes, "ENHANCEDSTATUSCODES")
	add(o.Without.Size, strings.TrimSpace("SIZE "+sizeLimit(o.MaxSize)))
	add(!s.offersTLS(), "STARTTLS")
	add(o.Accounts == nil, "AUTH PLAIN LOGIN")
	for i := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		lines[i] = "250" + separator + lines[i]
	}
	return lines
}

func sizeLimit(limit int64) string {
	if limit == 0 {
		return ""
	}
	return strconv.FormatInt(limit, 10)
}

func (s *session) offersTLS() bool {
	o := &s.server.options
	return o.TLSConfig != nil && !o.Without.TLS && s.tls == nil
}

func (s *session) startTLS() error {
	fault := s.server.rules.fault(STARTTLS)
	if done, err := s.answer(fault); done {
		return err
	}
	if !s.offersTLS() {
		s.server.violation("STARTTLS without offer")
		return s.reply(nil, "502 5.5.1 not offered")
	}
	if err := s.reply(fault, "220 2.0.0 go ahead"); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.start, s.end = 0, 0 // what came in the clear is forgotten (RFC 3207 section 4.2)
	s.hello, s.esmtp, s.user = "", false, ""
	s.reset()
	return s.handshake()
}

func (s *session) mail(argument string) error {
	path, parameters, ok := cutPath(argument, "FROM:")
	if !ok {
		s.server.violation("malformed MAIL")
		return s.reply(nil, "501 5.5.4 malformed path")
	}
	fault := s.server.rules.fault(MAIL, path)
	if done, err := s.answer(fault); done {
		return err
	}
	switch {
	case s.hello == "":
		s.server.violation("MAIL before EHLO")
		return s.reply(nil, "503 5.5.1 EHLO first")
	case s.begun:
		s.server.violation("MAIL inside a transaction")
		return s.reply(nil, "503 5.5.1 nested MAIL")
	}
	s.checkMail(path, parameters)
	if s.tooLarge(parameters) {
		return s.reply(nil, "552 5.3.4 too large")
	}
	s.begun = true
	s.message = Message{
		Remote: s.remote, Hello: s.hello, User: s.user, TLS: s.tls,
		From: path, Parameters: parameters,
	}
	return s.reply(fault, "250 2.1.0 ok")
}

func (s *session) tooLarge(parameters []string) bool {
	value, _ := parameter(parameters, "SIZE")
	size, err := strconv.ParseInt(value, 10, 64)
	return err == nil && s.server.options.MaxSize > 0 && size > s.server.options.MaxSize
}

// cutPath takes the prefix FROM: or TO: off and parses the rest.
func cutPath(argument, prefix string) (path string, parameters []string, ok bool) {
	if len(argument) < len(prefix) || !strings.EqualFold(argument[:len(prefix)], prefix) {
		return "", nil, false
	}
	return parsePath(argument[len(prefix):])
}

func (s *session) rcpt(argument string) error {
	path, parameters, ok := cutPath(argument, "TO:")
	if !ok || path == "" {
		s.server.violation("malformed RCPT")
		return s.reply(nil, "501 5.5.4 malformed path")
	}
	if !s.begun {
		if !s.pipelines() {
			s.server.violation("RCPT without MAIL")
		}
		return s.reply(nil, "503 5.5.1 MAIL first")
	}
	fault := s.server.rules.fault(RCPT, path)
	if fault != nil && (fault.refuses() || fault.Drop) {
		s.server.counters.refusedRecipients(path)
	}
	if done, err := s.answer(fault); done {
		return err
	}
	s.checkRcpt(path, parameters)
	s.message.Recipients = append(s.message.Recipients, Recipient{path, parameters})
	return s.reply(fault, "250 2.1.5 ok")
}
