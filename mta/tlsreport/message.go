package tlsreport

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// letter is what a report by mail is made of.
type letter struct {
	from, to mail.Address
	about    mail.Domain
	report   *Report
	// zipped is the report.
	zipped []byte
	// successful and failed are sessions.
	successful, failed uint64
	written            time.Time
}

// message writes the mail of RFC 8460 section 5.3, with CRLF line ends. It asks
// to be sent whatever TLS policy the domain has (RFC 8689 section 5): the policy
// may be what is wrong (RFC 8460 section 3). The signature is left to whoever
// sends it.
func (l *letter) message() []byte {
	submitter := l.from.Domain()
	unique, _, _ := strings.Cut(l.report.ID, "@")
	boundary := "=_" + unique // no line of base64 has an underscore
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: <%s>", l.from)
	line("To: <%s>", l.to)
	line("Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>", l.about, submitter, l.report.ID)
	line("Date: %s", l.written.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("Message-ID: <tlsrpt.%s>", l.report.ID)
	line("TLS-Report-Domain: %s", l.about)
	line("TLS-Report-Submitter: %s", submitter)
	line("TLS-Required: No")
	line("Auto-Submitted: auto-generated")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"%s\"", boundary)
	line("")
	line("--%s", boundary)
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	line("This is an aggregate TLS report from %s", submitter)
	line("about the mail servers of %s on %s (UTC):", l.about, l.report.DateRange.Start.Format(time.DateOnly))
	line("%d sessions succeeded, %d failed. The attachment says more (RFC 8460).", l.successful, l.failed)
	line("")
	line("--%s", boundary)
	line("Content-Type: application/tlsrpt+gzip")
	line("Content-Transfer-Encoding: base64")
	line("Content-Disposition: attachment;\r\n filename=\"%s\"", l.report.fileName(submitter, l.about))
	line("")
	writeBase64(&b, l.zipped)
	line("--%s--", boundary)
	return b.Bytes()
}

// writeBase64 writes lines of 76 characters.
func writeBase64(b *bytes.Buffer, data []byte) {
	const octets = 57
	for len(data) > 0 {
		n := min(len(data), octets)
		b.Write(base64.StdEncoding.AppendEncode(nil, data[:n]))
		b.WriteString("\r\n")
		data = data[n:]
	}
}
