// Package sink is a black hole for mail: a mail exchanger for tests, benchmarks
// and demonstrations that counts what it gets, keeps it on request and plays
// faults by rule. docs/sink.md is its manual.
package sink
