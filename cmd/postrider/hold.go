package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type queueHoldCommand struct {
	selection
	All    bool   `help:"All mail."`
	Reason string `help:"What is shown with each held recipient." placeholder:"TEXT"`
}

func (c queueHoldCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	hold, err := client.Hold(e.ctx, api.ChangeRequest{Selector: c.selector(), All: c.All, Reason: c.Reason})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(hold)
	}
	fmt.Fprintf(e.out, "held: %s\nIt ends with: postrider queue release %s\n", describe(hold.Selector), hold.ID)
	return nil
}

type queueHoldsCommand struct{}

func (queueHoldsCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	holds, err := client.Holds(e.ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(holds)
	}
	if len(holds) == 0 {
		fmt.Fprintln(e.out, "nothing is held")
		return nil
	}
	now := time.Now()
	var rows [][]string
	for _, h := range holds {
		rows = append(rows, []string{h.ID, describe(h.Selector), ago(h.Since, now), h.Reason})
	}
	return e.printTable("HOLD\tOF\tSINCE\tREASON", rows)
}

type queueReleaseCommand struct {
	Hold string `arg:"" help:"The hold's id."`
}

func (c queueReleaseCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	changed, err := client.Release(e.ctx, c.Hold)
	return e.report(changed, err, "released")
}

// describe says in words what a selector chooses.
func describe(s api.Selector) string {
	var parts []string
	for _, part := range [][2]string{
		{"message", s.Message},
		{"recipient", s.Recipient},
		{"tenant", s.Tenant},
		{"stream", s.Stream},
		{"campaign", s.Campaign},
		{"domain", s.Domain},
	} {
		if part[1] != "" {
			parts = append(parts, part[0]+" "+part[1])
		}
	}
	if len(parts) == 0 {
		return "all mail"
	}
	return strings.Join(parts, ", ")
}
