package testmx

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"strings"
	"time"
)

// Message is what a client handed over.
type Message struct {
	Time   time.Time
	Remote netip.AddrPort
	// Hello is the name that the client gave, User the one it logged in with.
	Hello, User string
	// TLS is nil in the clear.
	TLS *tls.ConnectionState
	// From is the reverse-path without its brackets, Parameters what followed.
	From       string
	Parameters []string
	// Recipients that were accepted.
	Recipients []Recipient
	// Size in octets; where nobody asked for Data, the dots of dot-stuffing are
	// counted too.
	Size int64
	// Data is the message without dot-stuffing; nil where nobody asked for it.
	Data []byte
}

// Recipient is one accepted RCPT.
type Recipient struct {
	Address    string
	Parameters []string
}

// Parameter returns the value of a MAIL parameter such as SIZE; ok reports
// whether it was given.
func (m *Message) Parameter(name string) (value string, ok bool) {
	return parameter(m.Parameters, name)
}

// Parameter returns the value of a RCPT parameter such as NOTIFY; ok reports
// whether it was given.
func (r *Recipient) Parameter(name string) (value string, ok bool) {
	return parameter(r.Parameters, name)
}

func parameter(parameters []string, name string) (string, bool) {
	for _, p := range parameters {
		if key, value, _ := strings.Cut(p, "="); strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// unstuff takes dot-stuffing off (RFC 5321 section 4.5.2). It returns data
// itself where there is none.
func unstuff(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("."))
	stuffed := []byte("\r\n.")
	if !bytes.Contains(data, stuffed) {
		return data
	}
	return bytes.ReplaceAll(data, stuffed, []byte("\r\n"))
}

// parsePath splits the argument of MAIL or RCPT after its colon: a path in
// angle brackets, then parameters. A bracket inside quotes ends nothing.
func parsePath(argument string) (path string, parameters []string, ok bool) {
	argument = strings.TrimLeft(argument, " ")
	if !strings.HasPrefix(argument, "<") {
		return "", nil, false
	}
	quoted := false
	for i := 1; i < len(argument); i++ {
		switch c := argument[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return argument[1:i], strings.Fields(argument[i+1:]), true
		}
	}
	return "", nil, false
}
