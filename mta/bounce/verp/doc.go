// Package verp makes and opens the addresses and tokens by which what comes
// back finds the recipient it is about: variable envelope return paths,
// complaint and unsubscribe addresses, and the token of CFBL-Feedback-ID (RFC
// 9477).
//
// A token names a message, a recipient of it and a tenant, and has no address
// in it. It is authenticated, so that nobody else can make one: a bounce to a
// return path that was never used, and a complaint about mail that was never
// sent, open nothing.
//
// Its form survives whatever is done to local parts: letters of one case,
// digits and a hyphen, at most 54 octets of the 64 that RFC 5321 section
// 4.5.3.1.1 allows:
//
//	kind letter, "-", and in base32 without padding:
//	version and key id (1 octet) | message (12) | tenant (4) | index (1 to 5) | tag (10)
//
// The tag covers all that is before it, the letter too, so that no token serves
// another purpose than its own.
package verp
