// Package notice tells senders what became of their mail: it decides who gets a
// DSN (RFC 3461), bounds how many, and puts them into the queue as mail of the
// sender's tenant. What a DSN looks like is package dsn's concern.
//
// Whoever is told has handed in the mail: submission takes it from nobody but
// authenticated clients and trusted networks, and binds them to their domains.
package notice
