// Package dsn writes delivery status notifications (RFC 3464, RFC 6522, RFC
// 6533) as submitters ask for them (RFC 3461), and decides who gets one.
//
// It is pure: a Notice in, the octets of a message out. Sending, signing and
// limiting them is for others.
package dsn
