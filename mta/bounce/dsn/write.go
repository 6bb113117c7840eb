package dsn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
)

// Write makes a multipart/report of three parts (RFC 6522): words for people,
// fields for programs, and the message or its header. It returns ErrNullSender
// or ErrNotice.
func Write(n Notice) (Written, error) {
	if err := n.check(); err != nil {
		return Written{}, err
	}
	w := writer{notice: n, boundary: boundary(n)}
	w.sender()
	w.part("text/plain; charset="+w.charset(), w.words())
	media := "message/delivery-status"
	if w.global() {
		media = "message/global-delivery-status"
	}
	w.part(media, w.status())
	w.part(w.returned())
	w.line("--" + w.boundary + "--")
	message := w.out.Bytes()
	return Written{
		Message:  message,
		EightBit: !mail.IsASCII(message),
		SMTPUTF8: !n.Envelope.From.ASCII(),
	}, nil
}

// boundary is one that the returned message cannot hold, since it depends on
// all of it.
func boundary(n Notice) string {
	hash := sha256.New()
	hash.Write([]byte(n.ID + "\x00" + string(n.Host) + "\x00"))
	hash.Write(n.Original)
	return "=_" + hex.EncodeToString(hash.Sum(nil)[:15])
}

type writer struct {
	notice   Notice
	boundary string
	out      bytes.Buffer
}

func (w *writer) line(text string) { w.out.WriteString(text + "\r\n") }

// global reports that addresses beyond ASCII are written as they are (RFC 6533):
// whoever sent with SMTPUTF8 can read them.
func (w *writer) global() bool {
	return w.notice.Envelope.SMTPUTF8 && slices.ContainsFunc(w.notice.Outcomes, func(o Outcome) bool {
		return !o.Recipient.Address.ASCII() || !mail.IsASCII(o.Recipient.Original)
	})
}

func (w *writer) charset() string {
	if slices.ContainsFunc(w.notice.Outcomes, func(o Outcome) bool { return !o.Recipient.Address.ASCII() }) {
		return "utf-8"
	}
	return "us-ascii"
}

// sender writes the header of the DSN.
func (w *writer) sender() {
	n := w.notice
	host := string(n.Host)
	w.line("From: Mail Delivery System <MAILER-DAEMON@" + host + ">")
	w.line("To: <" + n.Envelope.From.String() + ">")
	w.line("Subject: " + subject(n.Outcomes))
	w.line("Date: " + date(n.Now))
	w.line("Message-ID: <" + n.ID + "@" + host + ">")
	if id := messageID(header(n.Original)); id != "" {
		w.line("In-Reply-To: " + id)
		w.line("References: " + id)
	}
	// RFC 3834 section 5: so that nobody answers it.
	w.line("Auto-Submitted: auto-replied")
	w.line("MIME-Version: 1.0")
	w.line("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"" + w.boundary + "\"")
	w.line("")
	w.line("This is a delivery report in MIME format.")
	w.line("")
}

func date(t time.Time) string { return t.Format(time.RFC1123Z) }

// subject says the worst.
func subject(outcomes []Outcome) string {
	for _, one := range []struct {
		action bounce.Action
		text   string
	}{
		{bounce.Failed, "Undelivered mail returned to sender"},
		{bounce.Delayed, "Delayed mail (still being tried)"},
		{bounce.Relayed, "Mail was passed on"},
		{bounce.Expanded, "Mail was delivered to a list"},
	} {
		if slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Action == one.action }) {
			return one.text
		}
	}
	return "Mail was delivered"
}

// part writes a body part.
func (w *writer) part(media string, content []byte) {
	w.line("--" + w.boundary)
	w.line("Content-Type: " + media)
	if !mail.IsASCII(content) {
		w.line("Content-Transfer-Encoding: 8bit")
	}
	w.line("")
	w.out.Write(content)
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		w.line("")
	}
	w.line("")
}

// returned is the message or its header. The whole goes back only with a
// failure (RFC 3461 section 4.3) and up to the size allowed.
func (w *writer) returned() (media string, content []byte) {
	n := w.notice
	failed := slices.ContainsFunc(n.Outcomes, func(o Outcome) bool { return o.Action == bounce.Failed })
	path := []byte("Return-Path: <" + n.Envelope.From.String() + ">\r\n")
	top := header(n.Original)
	global := !mail.IsASCII(top) || !mail.IsASCII(path)
	if failed && strings.EqualFold(n.Envelope.Return, "FULL") && len(n.Original) <= n.MaxFull {
		media = "message/rfc822"
		if global {
			media = "message/global"
		}
		return media, append(path, n.Original...)
	}
	media = "text/rfc822-headers"
	if global {
		media = "message/global-headers"
	}
	return media, append(path, limitHeader(top)...)
}

// header returns the header of a message with its last line break.
func header(message []byte) []byte {
	if i := bytes.Index(message, []byte("\r\n\r\n")); i >= 0 {
		return message[:i+2]
	}
	if bytes.HasPrefix(message, []byte("\r\n")) {
		return nil
	}
	return message
}

// maxHeader is how much of a header goes back, in octets.
const maxHeader = 64 << 10

// limitHeader cuts a header between two fields.
func limitHeader(top []byte) []byte {
	if len(top) <= maxHeader {
		return top
	}
	for at := bytes.LastIndex(top[:maxHeader], []byte("\r\n")); at >= 0; at = bytes.LastIndex(top[:at], []byte("\r\n")) {
		if c := top[at+2]; c != ' ' && c != '\t' {
			return top[:at+2]
		}
	}
	return nil
}

// messageID finds the identifier of a message in its header, with its angle
// brackets.
func messageID(top []byte) string {
	for line := range bytes.Lines(top) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !strings.EqualFold(string(bytes.TrimSpace(name)), "Message-ID") {
			continue
		}
		id := string(bytes.TrimSpace(value))
		if len(id) > 2 && len(id) < 250 && id[0] == '<' && id[len(id)-1] == '>' && mail.IsASCII(id) && !strings.ContainsAny(id, " \t") && strings.Trim(id[1:len(id)-1], "<>") == id[1:len(id)-1] {
			return id
		}
	}
	return ""
}
