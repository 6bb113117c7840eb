package main

import (
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type traceCommand struct {
	Site  string `arg:"" help:"The site's name, as sites and why show it."`
	Count int    `help:"Stop after so many lines." placeholder:"N"`
}

func (c traceCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	printed := 0
	err := client.Trace(e.ctx, c.Site, func(l api.TraceLine) error {
		if err := e.printTrace(l); err != nil {
			return err
		}
		if printed++; printed == c.Count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || e.ctx.Err() != nil && errors.Is(err, e.ctx.Err()) {
		return nil
	}
	return err
}

func (e *environment) printTrace(l api.TraceLine) error {
	if e.json {
		return e.printLine(l)
	}
	mark := "<"
	if l.Sent {
		mark = ">"
	}
	_, err := fmt.Fprintf(e.out, "%s %s %s %s %s\n", l.Time.Local().Format("15:04:05.000"), l.Source, l.Remote, mark, l.Text)
	return err
}
