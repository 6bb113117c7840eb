// Package smtpclient speaks SMTP (RFC 5321) to one server over one connection:
// pipelined where that is offered, under a deadline at every step, and without
// knowledge of queues, sites or retries.
package smtpclient
