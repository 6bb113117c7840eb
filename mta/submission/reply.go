package submission

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/queue"
)

// The reasons by which refusals are counted.
const (
	reasonSyntax   = "syntax"
	reasonSequence = "sequence"
	reasonAuth     = "auth"
	reasonPolicy   = "policy"
	reasonSize     = "size"
	reasonHeader   = "header"
	reasonControl  = "control"
	reasonContent  = "content"
	reasonStorage  = "storage"
	reasonLimit    = "limit"
	reasonQuota    = "quota"

	reasonSuppressed = "suppressed"
	reasonBulk       = "bulk"
)

// maxReplyText keeps a reply line within RFC 5321 section 4.5.3.1.5.
const maxReplyText = 480

// refusal is a negative reply and the reason by which it is counted. One with
// code 421 ends the connection.
type refusal struct {
	code     int
	enhanced smtp.EnhancedCode
	reason   string
	text     string
	cause    error
}

func refuse(code int, enhanced smtp.EnhancedCode, reason, format string, args ...any) *refusal {
	return &refusal{code: code, enhanced: enhanced, reason: reason, text: fmt.Sprintf(format, args...)}
}

// Error returns the public text, which holds no address.
func (r *refusal) Error() string { return r.text }

// Unwrap returns the private cause.
func (r *refusal) Unwrap() error { return r.cause }

// reply is what go-smtp takes a code from: it looks at the type only, so the
// error must not be wrapped.
func (r *refusal) reply() *smtp.SMTPError {
	return &smtp.SMTPError{Code: r.code, EnhancedCode: r.enhanced, Message: printable(r.text)}
}

// line is the reply as it goes on the wire.
func (r *refusal) line() []byte {
	return fmt.Appendf(nil, "%d %d.%d.%d %s\r\n",
		r.code, r.enhanced[0], r.enhanced[1], r.enhanced[2], printable(r.text))
}

// asRefusal gives every error a code: what nobody foresaw is temporary.
func asRefusal(err error) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		return known
	}
	var reply *smtp.SMTPError // a Receiver's
	if errors.As(err, &reply) {
		return refuse(reply.Code, reply.EnhancedCode, reasonPolicy, "%s", reply.Message)
	}
	r := refuse(451, smtp.EnhancedCode{4, 3, 0}, reasonStorage, "the message cannot be stored now, try again later")
	switch {
	case errors.Is(err, queue.ErrFull):
		r = refuse(452, smtp.EnhancedCode{4, 3, 1}, reasonStorage, "no room for more mail now, try again later")
	case errors.Is(err, queue.ErrUnavailable):
		r = refuse(452, smtp.EnhancedCode{4, 3, 1}, reasonStorage, "the message cannot be stored now, try again later")
	}
	r.cause = err
	return r
}

// printable makes text fit for one reply line.
func printable(text string) string {
	if len(text) > maxReplyText {
		text = text[:maxReplyText]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// amend puts right what go-smtp answers to a command: codes that RFC 5321 and
// RFC 4954 have others for, and addresses echoed for no use.
func amend(verb string, line []byte) []byte {
	switch verb {
	case "MAIL", "RCPT":
		return amendEnvelope(verb, line)
	case "AUTH":
		return amendAuth(line)
	case "DATA", "BDAT":
		return recode(line, "502 ", "503 ")
	}
	return line
}

func amendEnvelope(verb string, line []byte) []byte {
	switch {
	case bytes.HasPrefix(line, []byte("250 ")) && verb == "MAIL":
		return []byte("250 2.1.0 sender ok\r\n")
	case bytes.HasPrefix(line, []byte("250 ")):
		return []byte("250 2.1.5 recipient ok\r\n")
	}
	line = recode(line, "500 5.5.4 ", "555 5.5.4 ")
	line = recode(line, "504 5.5.4 ", "555 5.5.4 ")
	return recode(line, "502 ", "503 ")
}

func amendAuth(line []byte) []byte {
	line = recode(line, "235 2.0.0 ", "235 2.7.0 ")
	line = recode(line, "454 4.7.0 Invalid base64", "501 5.5.2 Invalid base64")
	line = recode(line, "502 5.5.4 ", "501 5.5.4 ")
	return recode(line, "502 ", "503 ")
}

func recode(line []byte, old, replacement string) []byte {
	if !bytes.HasPrefix(line, []byte(old)) {
		return line
	}
	return append([]byte(replacement), line[len(old):]...)
}
