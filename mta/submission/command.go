package submission

import (
	"bytes"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"
)

// maxGreeting bounds the argument of EHLO: a domain or an address literal.
const maxGreeting = 255

// command implements front: what go-smtp cannot be trusted with, or has no
// word for, is answered here.
func (p *peer) command(line []byte) (pass []byte) {
	defer func() {
		// go-smtp guards what it calls, but this it only reads from.
		if fault := recover(); fault != nil {
			p.server.logger.Error("internal error in a connection", "error", fault, "stack", string(debug.Stack()))
			p.wire.answer(refuse(421, smtp.EnhancedCode{4, 3, 0}, reasonStorage, "internal error"))
			pass = nil
		}
	}()
	p.wire.verb = ""
	pass, refused := p.vet(line)
	if refused != nil {
		p.refuse(refused)
	}
	return pass
}

func (p *peer) refuse(r *refusal) {
	p.metrics.refused(r)
	if r.cause != nil {
		p.logStorage(r.cause)
	}
	p.wire.answer(r)
}

func (p *peer) logStorage(cause error) {
	p.server.logger.Error("message not stored", "listener", p.listener.Name, "error", cause)
}

// replied counts failures, and ends the connection after too many. Bad
// recipients are no attack: a list may hold many. Who tries them out where
// anybody may, is one.
func (p *peer) replied(code string) {
	if code[0] != '5' || p.wire.verb == "RCPT" && p.busy() && p.server.options.Receiver == nil {
		return
	}
	p.errors++
	if p.errors == p.limits.CommandErrors {
		p.wire.answer(refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonLimit, "too many errors, closing the connection"))
	}
}

// vet returns the line that go-smtp is to see, or nil if none, and what is to
// be answered in its place.
func (p *peer) vet(line []byte) ([]byte, *refusal) {
	if err := checkLine(line); err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(line), " ")
	verb, argument, _ := strings.Cut(text, " ")
	verb, argument = strings.ToUpper(verb), strings.TrimLeft(argument, " ")
	p.wire.verb = verb
	switch verb {
	case "EHLO", "HELO":
		return p.vetGreeting(verb, argument)
	case "MAIL":
		return p.vetMail(argument)
	case "RCPT":
		argument = p.withPostmaster(argument)
		p.argument = argument
	case "DATA":
		return p.vetData(argument)
	case "BDAT":
		return p.vetChunk(argument)
	case "STARTTLS":
		return p.vetStartTLS(argument)
	case "VRFY":
		if p.server.options.Receiver != nil { // go-smtp would say that it takes mail
			return nil, refuse(502, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "addresses are not verified")
		}
	case "RSET", "NOOP", "QUIT", "EXPN", "HELP", "AUTH":
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS":
		// A browser was made to speak to this port.
		return nil, refuse(421, smtp.EnhancedCode{4, 7, 0}, reasonSyntax, "this is SMTP, closing the connection")
	default:
		return nil, refuse(500, smtp.EnhancedCode{5, 5, 2}, reasonSyntax, "unknown command")
	}
	return []byte(strings.TrimRight(verb+" "+argument, " ")), nil
}

// checkLine refuses what RFC 5321 section 2.3.8 forbids in a command line:
// line ends other than CRLF (SMTP smuggling) and control characters.
func checkLine(line []byte) *refusal {
	if bytes.HasSuffix(line, []byte("\n")) {
		return refuse(500, smtp.EnhancedCode{5, 5, 2}, reasonSyntax, "a command line ends in CRLF")
	}
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return refuse(500, smtp.EnhancedCode{5, 5, 2}, reasonSyntax, "control character in the command")
		}
	}
	return nil
}

func (p *peer) vetGreeting(verb, argument string) ([]byte, *refusal) {
	name, _, _ := strings.Cut(argument, " ")
	if name == "" || len(name) > maxGreeting {
		return nil, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "%s needs a domain or an address literal", verb)
	}
	p.extended = verb == "EHLO"
	return []byte(verb + " " + name), nil
}

// vetMail compares SIZE itself: go-smtp reads it as 32 bits.
func (p *peer) vetMail(argument string) ([]byte, *refusal) {
	p.argument = argument
	for field := range strings.FieldsSeq(argument) {
		value, found := cutPrefixFold(field, "SIZE=")
		if !found || value == "" || strings.Trim(value, "0123456789") != "" {
			continue
		}
		size, err := strconv.ParseInt(value, 10, 64)
		if err != nil || size > p.limits.MessageSize {
			return nil, p.tooLarge()
		}
	}
	return []byte("MAIL " + argument), nil
}

func (p *peer) tooLarge() *refusal {
	return refuse(552, smtp.EnhancedCode{5, 3, 4}, reasonSize, "message larger than %d octets", p.limits.MessageSize)
}

// vetData finds room for the body before go-smtp can say 354.
func (p *peer) vetData(argument string) ([]byte, *refusal) {
	switch {
	case argument != "":
		return nil, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "DATA takes no argument")
	case !p.session.ready():
		return nil, refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "MAIL and an accepted RCPT come first")
	case p.session.tx.chunked:
		return nil, refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "DATA is not allowed after BDAT")
	}
	if err := p.session.reserve(); err != nil {
		return nil, err
	}
	return []byte("DATA"), nil
}

// vetStartTLS answers STARTTLS (RFC 3207). Nothing of what was said in the
// clear may live on, pipelined commands least of all.
func (p *peer) vetStartTLS(argument string) ([]byte, *refusal) {
	w := p.wire
	switch {
	case argument != "":
		return nil, refuse(501, smtp.EnhancedCode{5, 5, 4}, reasonSyntax, "STARTTLS takes no argument")
	case p.secure:
		return nil, refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "TLS is already active")
	case p.tls == nil:
		return nil, refuse(502, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "TLS is not offered")
	case p.busy():
		return nil, refuse(503, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "STARTTLS is not allowed in a transaction")
	case w.start != w.stop:
		w.closing = true
		return nil, refuse(554, smtp.EnhancedCode{5, 5, 1}, reasonSequence, "nothing may be sent behind STARTTLS")
	}
	w.emit([]byte("220 2.0.0 ready to start TLS\r\n"))
	w.upgrading = true
	return nil, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// path takes the mailbox out of the argument of MAIL or RCPT as it was
// written. go-smtp hands it over without its quotes, so that two different
// mailboxes can look the same.
func path(argument string) string {
	_, s, _ := strings.Cut(argument, ":")
	s = strings.TrimLeft(s, " ")
	inner, bracketed := strings.CutPrefix(s, "<")
	if strings.HasPrefix(inner, "@") { // a source route, to be ignored
		_, inner, _ = strings.Cut(inner, ":")
	}
	quoted := false
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case bracketed && c == '>', !bracketed && c == ' ':
			return inner[:i]
		}
	}
	return inner
}
