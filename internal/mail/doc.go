// Package mail holds the values that every room of the daemon speaks of:
// addresses, domains, envelopes, SMTP replies and the scope of a failure. They
// are pure values: parsed once at the border, comparable, and free of I/O.
package mail
