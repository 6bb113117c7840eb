// Package shape decides when a site may be given a connection or a message:
// rates, concurrency and back-off over a clock that the caller supplies, with
// no I/O and no goroutine of its own.
package shape
