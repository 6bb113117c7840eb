package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type eventsCommand struct {
	Tail eventsTailCommand `cmd:"" help:"Print events as they happen."`
}

type eventsTailCommand struct {
	FromStart bool     `help:"Begin with the oldest event kept."`
	After     uint64   `help:"Begin after this position, which --json shows with each event." placeholder:"POSITION"`
	NoFollow  bool     `help:"Stop at the newest event."`
	Type      []string `help:"Only these types, such as bounced,expired." placeholder:"TYPE"`
	Count     int      `help:"Stop after so many events." placeholder:"N"`
}

// errEnough ends a stream from inside.
var errEnough = errors.New("enough")

func (c eventsTailCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	after := c.After
	if after == 0 && !c.FromStart && !c.NoFollow {
		after = api.Newest
	}
	printed := 0
	err := client.Events(e.ctx, after, !c.NoFollow, func(r api.Record) error {
		if !c.wants(string(r.Event.Type)) {
			return nil
		}
		if err := e.printEvent(r); err != nil {
			return err
		}
		if printed++; printed == c.Count {
			return errEnough
		}
		return nil
	})
	interrupted := e.ctx.Err() != nil && errors.Is(err, e.ctx.Err())
	if errors.Is(err, errEnough) || interrupted {
		return nil
	}
	return err
}

func (c eventsTailCommand) wants(kind string) bool {
	if len(c.Type) == 0 {
		return true
	}
	for _, t := range c.Type {
		if strings.EqualFold(t, kind) {
			return true
		}
	}
	return false
}

func (e *environment) printEvent(r api.Record) error {
	if e.json {
		return e.printLine(api.Line{Event: r.Event, Position: r.Position})
	}
	v := r.Event
	line := fmt.Sprintf("%s %-12s ", v.Time.Local().Format("2006-01-02 15:04:05"), v.Type)
	if v.Rate != nil {
		line += v.Tenant
	} else {
		line += fmt.Sprintf("%s/%d <%s>", v.Message, v.Index, v.Recipient)
	}
	if v.Site != "" {
		line += " at " + v.Site
	}
	switch {
	case v.Reply != nil:
		line += ": " + v.Reply.String()
	case v.Reason != "":
		line += ": " + v.Reason
	case v.URL != "":
		line += ": " + v.URL
	}
	if v.Machine != "" {
		line += " (machine: " + v.Machine + ")"
	}
	_, err := fmt.Fprintln(e.out, line)
	return err
}
