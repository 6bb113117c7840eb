// Package source decides from which local end a message leaves: which source
// of which pool, over IPv4 or IPv6, and which sources are left alone for now.
// It decides over a clock that the caller supplies, with no I/O and no
// goroutine of its own.
//
// A message's source follows from a hash of the message, weighted by the pool
// (rendezvous hashing). So the weights hold at every site without anything
// remembered for it, a retry leaves from where the first attempt left, over
// restarts too, which is what greylisting asks for, and a source that drops
// out or comes back moves its own messages and no others.
package source
