// Package boltguard opens bbolt files and keeps what is wrong with them from
// the process. Where pages are not what they should be, bbolt panics, also in
// goroutines of its own, the hardware faults, and locks stay held; after a
// failed sync bbolt goes on as if its last page had reached the disk. Here all
// of that is an error.
package boltguard
