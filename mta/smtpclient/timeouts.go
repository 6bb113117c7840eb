package smtpclient

import (
	"cmp"
	"time"
)

// withDefaults fills in what is zero.
func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect:  cmp.Or(t.Connect, 30*time.Second),
		TLS:      cmp.Or(t.TLS, time.Minute),
		Greeting: cmp.Or(t.Greeting, 5*time.Minute),
		Command:  cmp.Or(t.Command, 5*time.Minute),
		Data:     cmp.Or(t.Data, 2*time.Minute),
		Block:    cmp.Or(t.Block, 3*time.Minute),
		Final:    cmp.Or(t.Final, 10*time.Minute),
		Quit:     cmp.Or(t.Quit, 10*time.Second),
	}
}

// of returns how long the reply to a command may take.
func (t Timeouts) of(c Command) time.Duration {
	switch c {
	case Greeting:
		return t.Greeting
	case DATA:
		return t.Data
	case Final:
		return t.Final
	case QUIT:
		return t.Quit
	}
	return t.Command
}
