package smtpclient

import (
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// appendMail appends MAIL with the parameters that the server offered.
func (c *Client) appendMail(out []byte, x *transaction) []byte {
	e := &x.Envelope
	out = append(out, "MAIL FROM:<"...)
	out = append(out, e.From.String()...)
	out = append(out, '>')
	if c.offer.size {
		out = append(out, " SIZE="...)
		out = strconv.AppendInt(out, x.size, 10)
	}
	if e.EightBit && c.offer.EightBitMIME {
		out = append(out, " BODY=8BITMIME"...)
	}
	if x.utf8 {
		out = append(out, " SMTPUTF8"...)
	}
	if e.RequireTLS && c.offer.RequireTLS {
		out = append(out, " REQUIRETLS"...)
	}
	if c.offer.DSN {
		out = appendMailDSN(out, e)
	}
	return append(out, "\r\n"...)
}

// appendMailDSN appends RET and ENVID (RFC 3461 sections 4.3 and 4.4).
func appendMailDSN(out []byte, e *mail.Envelope) []byte {
	if e.Return == "FULL" || e.Return == "HDRS" {
		out = append(append(out, " RET="...), e.Return...)
	}
	if e.ID != "" {
		out = appendXtext(append(out, " ENVID="...), e.ID)
	}
	return out
}

// appendRcpt appends RCPT with the parameters that the server offered.
func (c *Client) appendRcpt(out []byte, r *mail.Recipient) []byte {
	out = append(out, "RCPT TO:<"...)
	out = append(out, r.Address.String()...)
	out = append(out, '>')
	if c.offer.DSN {
		out = appendRcptDSN(out, r)
	}
	return append(out, "\r\n"...)
}

// appendRcptDSN appends NOTIFY and ORCPT (RFC 3461 sections 4.1 and 4.2). An
// original address that only RFC 6533 could write is left out.
func appendRcptDSN(out []byte, r *mail.Recipient) []byte {
	if r.Notify != 0 {
		out = append(append(out, " NOTIFY="...), r.Notify.String()...)
	}
	if isAddressType(r.OriginalType) && r.Original != "" && mail.IsASCII(r.Original) {
		out = append(append(out, " ORCPT="...), r.OriginalType...)
		out = appendXtext(append(out, ';'), r.Original)
	}
	return out
}

// isAddressType reports whether s can stand before the semicolon of ORCPT.
func isAddressType(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// appendXtext appends s as RFC 3461 section 4 encodes it.
func appendXtext(out []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c < '!' || c > '~' || c == '+' || c == '=' {
			out = append(out, '+', hex[c>>4], hex[c&15])
			continue
		}
		out = append(out, c)
	}
	return out
}
