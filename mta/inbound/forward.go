package inbound

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/queue"
)

// maxReceived tells a loop (RFC 5321 section 6.3).
const maxReceived = 50

// forward sends a message on to the postmaster, from the null sender, so that
// nothing comes back for it. Its content stays as it is.
func (s *Server) forward(ctx context.Context, m submission.Received, now time.Time) error {
	header, err := mimetree.ParseHeader(m.Message)
	switch {
	case err != nil || !plainLines(m.Message):
		return refuse(554, smtp.EnhancedCode{5, 6, 0}, "the message is malformed")
	case len(header.Find("Received")) >= maxReceived:
		return refuse(554, smtp.EnhancedCode{5, 4, 6}, "a mail loop")
	}
	to := &s.options.Postmaster
	submission := queue.Submission{
		Message: queue.Message{
			ID: queue.NewID(now), Tenant: to.Tenant, Stream: to.Stream, Track: account.TrackNone,
			Accepted: now, Expires: now.Add(to.MaxAge),
		},
		Recipients: []mail.Recipient{{Address: to.To, Notify: mail.NotifyNever}},
	}
	trace := fmt.Sprintf("Received: from %s ([%s])\r\n\tby %s with %s id %s;\r\n\t%s\r\n", greeting(m.Greeted), m.Client,
		s.options.Hostname, m.Protocol, submission.Message.ID, now.Format(time.RFC1123Z))
	submission.Body = append([]byte(trace), m.Message...)
	if !bytes.HasSuffix(submission.Body, []byte("\r\n")) { // BDAT may end anywhere
		submission.Body = append(submission.Body, "\r\n"...)
	}
	submission.Message.Size = int64(len(submission.Body))
	submission.Message.Envelope.SMTPUTF8 = !to.To.ASCII()
	return to.Accept(ctx, &submission)
}

// plainLines reports that every line ends in CRLF: others would read what does
// not as the end of the message (SMTP smuggling).
func plainLines(message []byte) bool {
	both := bytes.Count(message, []byte("\r\n"))
	return both == bytes.Count(message, []byte("\n")) && both == bytes.Count(message, []byte("\r"))
}

// greeting makes a stranger's word fit for a header field.
func greeting(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-:[]", r) {
			return r
		}
		return '?'
	}, name)
}
