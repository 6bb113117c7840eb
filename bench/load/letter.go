// Package load makes the mail of the benchmark: a newsletter, and sessions
// that hand it in with as little work as they can.
package load

import (
	"bytes"
	"fmt"
	"strings"
)

// Links in the letter's HTML part.
const Links = 10

// Letter is one message, the same octets for everybody but for what names the
// reader.
type Letter struct {
	// Sender is in From and MAIL FROM.
	Sender string
	// Header holds further lines, each with its CRLF.
	Header string
	body   []byte
}

// NewLetter makes a newsletter in text and HTML whose octets are as many as
// size, if that is enough for it.
func NewLetter(sender, header string, size int) *Letter {
	l := &Letter{Sender: sender, Header: header}
	// Numbers and domains vary by a few octets; a message in the middle counts.
	fixed := len(l.head(10_000, "reader10000@d10.example"))
	l.body = fill(size - fixed - len(header))
	return l
}

// head is the reader's own part: all headers.
func (l *Letter) head(number int, reader string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Harbour Books <%s>\r\nTo: <%s>\r\n", l.Sender, reader)
	fmt.Fprintf(&b, "Subject: Five books for long evenings, and one for the boat\r\n")
	fmt.Fprintf(&b, "Date: Mon, 03 Nov 2025 09:00:00 +0000\r\nMessage-ID: <%d.november@%s>\r\n", number, domainOf(l.Sender))
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"harbour\"\r\n")
	b.WriteString(l.Header)
	b.WriteString("\r\n")
	return b.Bytes()
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// fill makes the parts, about as large as the room there is.
func fill(room int) []byte {
	const frame = 600
	text := prose(max(0, room/4))
	var b bytes.Buffer
	b.WriteString("--harbour\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	b.WriteString(text)
	b.WriteString("--harbour\r\nContent-Type: text/html; charset=utf-8\r\n\r\n")
	b.WriteString("<!DOCTYPE html>\r\n<html><head><title>November</title></head><body>\r\n")
	share := max(0, room-len(text)-frame-Links*100) / Links
	for i := range Links {
		fmt.Fprintf(&b, "<h2><a href=\"https://books.example/november/%d?from=letter&amp;place=%d\">Book %d</a></h2>\r\n<p>\r\n%s</p>\r\n",
			i, i, i+1, prose(share))
	}
	const end = "</body></html>\r\n--harbour--\r\n"
	if missing := room - b.Len() - len(end); missing > 0 {
		b.WriteString(prose(missing))
	}
	b.WriteString(end)
	return b.Bytes()
}

// prose is running text of exactly size octets in lines, none beginning with a
// dot; below three octets there is none.
func prose(size int) string {
	const line = "The keeper of the light reads aloud while the rain goes by the window\r\n"
	whole, rest := size/len(line), size%len(line)
	if whole > 0 && rest > 0 && rest < 3 {
		whole, rest = whole-1, rest+len(line)
	}
	text := strings.Repeat(line, whole)
	if rest >= 3 {
		text += strings.Repeat("w", rest-2) + "\r\n"
	}
	return text
}
