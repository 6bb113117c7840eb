// Package offline does what an operator needs before, or without, a running
// daemon: passwords to hash, keys to make, DNS records to compare,
// tracked links to read.
package offline
