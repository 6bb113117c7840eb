// Package boltqueue is the embedded queue.Store: a journal makes mail and
// outcomes safe, a bbolt file holds what is still owed.
//
// Everything that changes what is owed is a journal record first. Its effect is
// then applied in memory, in the journal's order, and every few seconds a
// checkpoint takes over the net effect, in as many bbolt transactions as keep
// their pages few. What lives in memory is therefore what changed since the last checkpoint, a bounded head of
// the recipients that are due, what is leased, and one entry per queue. A
// message accepted and settled between two checkpoints never reaches bbolt.
//
// Where a recipient is in memory, memory is right; where it is not, its row is.
// That rule is all that joins the two.
package boltqueue
