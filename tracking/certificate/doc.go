// Package certificate shows the tracker's certificates: those of files, by the
// name that a client asks for, or those that an ACME authority (RFC 8555)
// issues when a tracking domain is asked for first.
//
// The authority is asked for configured hosts and no others, whatever name a
// client sends, and no more often than its limits bear: see orders.
package certificate
