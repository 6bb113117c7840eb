package main

import (
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/daemon"
)

type checkMessageCommand struct {
	File       string `arg:"" optional:"" help:"Message, header and body; standard input if left out or -."`
	Tenant     string `help:"Tenant whose message it is; may be left out while there is only one." placeholder:"NAME"`
	Stream     string `help:"Stream, if the message names none." placeholder:"NAME"`
	Credential string `help:"Credential that would hand it in: its vendor headers are understood." placeholder:"USERNAME"`
	Config     string `help:"Configuration file." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

// errWouldRefuse: a rule that the message breaks is enforced.
var errWouldRefuse = errors.New("the stream refuses such a message")

// Run prints every rule for bulk mail that the message breaks, and fails where
// its stream enforces one of them.
func (c checkMessageCommand) Run(e *environment) error {
	message, err := e.read(c.File)
	if err != nil {
		return err
	}
	if len(message) == 0 {
		return errors.New("the message is empty")
	}
	check, err := daemon.RunCheck(e.ctx, c.Config, daemon.DryRunOptions{
		Tenant: c.Tenant, Stream: c.Stream, Credential: c.Credential, Recipient: "reader@example.com", Message: message,
	})
	if err != nil {
		return err
	}
	if err := e.printCheck(check); err != nil {
		return err
	}
	if check.Refused() {
		return errWouldRefuse
	}
	return nil
}

func (e *environment) printCheck(check *daemon.Check) error {
	switch {
	case e.json:
		return e.printJSON(check)
	case len(check.Findings) == 0:
		_, err := fmt.Fprintf(e.out, "nothing found; stream %s\n", check.Stream)
		return err
	}
	rows := make([][]string, len(check.Findings))
	for i, f := range check.Findings {
		rows[i] = []string{f.Rule, f.Level, f.Text}
	}
	return e.printTable("RULE\tON "+check.Stream+"\tFINDING", rows)
}
