// Package foreign reads the control headers that other senders of mail defined
// and that applications already write: SendGrid, Mailgun, Postmark, Mandrill and
// Amazon SES. It is pure: header fields in, wishes out.
//
// What would change to whom or with which words a message goes (templates,
// merge variables, recipients in a header, test modes) is refused, since sending
// without it sends something else. What has no counterpart here is left out.
package foreign
