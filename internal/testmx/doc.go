// Package testmx plays the world's side of mail delivery on loopback sockets: a
// programmable mail exchanger with faults per command, a name server, and a
// proxy that delays. Tests start its parts with a testing.TB; the sink runs
// them for users.
package testmx
