package main

import (
	"context"
	"time"
)

// system is a mail server that can be measured.
type system interface {
	// name in the table.
	name() string
	// can reports whether the system can do the job here, or why not.
	can(job) (bool, string)
	// start makes a private instance in the empty folder, for one measurement,
	// whose mail goes to the sink's port.
	start(ctx context.Context, dir string, j job, sinkPort int) (instance, error)
	// header lines that the system needs in a job's messages.
	header(job) string
	// check looks into a message that was delivered.
	check(j job, message []byte) error
}

// instance is a running system.
type instance interface {
	// address takes mail.
	address() string
	// processes whose work counts.
	processes() []int
	// settled waits until nothing is owed any more.
	settled(ctx context.Context) error
	stop() error
}

// stopTime is how long an instance may take to stop before it is killed.
const stopTime = 20 * time.Second
