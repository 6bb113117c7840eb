// Package dkim signs messages (RFC 6376, RFC 8463): it chooses the keys that
// align with the From domain, signs with all of them over one pass of the
// body, makes and reads key files, and compares published records with keys.
package dkim
