// Package selftest asks the tracker, through the public address of each
// tracking domain, whether it would answer the links that the daemon makes: a
// name that does not resolve, a certificate that nobody trusts, a proxy that
// knows nothing of it or a daemon with other keys would make each link in the
// mail a dead one.
//
// A domain may be used from its first success on. It may be used no longer once
// it has failed for FailFor and FailTimes in a row: one lost packet takes no
// tracking from anybody. One success makes it good again.
package selftest
