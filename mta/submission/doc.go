// Package submission takes mail from applications over SMTP (RFC 6409): it
// authenticates, reads and strips the control headers, validates, completes
// the header, and says 250 when the queue has the message on disk and not
// before.
//
// The protocol is spoken by go-smtp. Between it and the socket stands a wire,
// which hands it one command line at a time, so that no octet of a body ever
// waits in a buffer that cannot be seen from here; message content is read in
// bulk beside it.
package submission
