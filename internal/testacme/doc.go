// Package testacme is an ACME authority (RFC 8555) for tests: it verifies
// requests and challenges over real sockets, issues certificates, and counts
// what it was asked.
package testacme
