package smtpclient

import (
	"slices"
	"strconv"
	"strings"
)

// offer is what one EHLO reply said.
type offer struct {
	Extensions
	// size holds if SIZE was offered, with a limit or without.
	size bool
}

// parseOffer reads the text of an EHLO reply: the first line greets, each
// other one is a keyword with parameters (RFC 5321 section 4.1.1.1), in any
// case.
func parseOffer(text string) offer {
	var o offer
	first := true
	for line := range strings.Lines(text) {
		fields := strings.Fields(strings.ToUpper(line))
		if !first && len(fields) > 0 {
			o.add(fields[0], fields[1:])
		}
		first = false
	}
	return o
}

func (o *offer) add(keyword string, parameters []string) {
	switch keyword {
	case "PIPELINING":
		o.Pipelining = true
	case "8BITMIME":
		o.EightBitMIME = true
	case "SMTPUTF8":
		o.SMTPUTF8 = true
	case "CHUNKING":
		o.Chunking = true
	case "DSN":
		o.DSN = true
	case "ENHANCEDSTATUSCODES":
		o.EnhancedStatusCodes = true
	case "STARTTLS":
		o.StartTLS = true
	case "REQUIRETLS":
		o.RequireTLS = true
	case "SIZE":
		o.addSize(parameters)
	case "AUTH":
		o.addAuth(parameters)
	default:
		// Servers older than RFC 4954 write AUTH=LOGIN.
		if mechanism, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			o.addAuth(append([]string{mechanism}, parameters...))
		}
	}
}

func (o *offer) addSize(parameters []string) {
	o.size = true
	if len(parameters) == 0 {
		return
	}
	if size, err := strconv.ParseInt(parameters[0], 10, 64); err == nil && size > 0 {
		o.Size = size
	}
}

func (o *offer) addAuth(mechanisms []string) {
	for _, m := range mechanisms {
		if m != "" && !slices.Contains(o.Auth, m) {
			o.Auth = append(o.Auth, m)
		}
	}
}
