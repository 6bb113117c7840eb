package main

import (
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type queueDivertCommand struct {
	selection
	All    bool   `help:"All mail."`
	Pool   string `help:"Pool of sources that it leaves by instead." required:"" placeholder:"NAME"`
	Reason string `help:"What is shown with the diversion." placeholder:"TEXT"`
}

func (c queueDivertCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	made, err := client.Divert(e.ctx, api.DivertRequest{Selector: c.selector(), All: c.All, Pool: c.Pool, Reason: c.Reason})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(made)
	}
	fmt.Fprintf(e.out, "%s leaves by pool %s; %s due now\nIt ends with: postrider queue undivert %s\n",
		describe(made.Selector), made.Pool, count(made.Recipients, "recipient"), made.ID)
	return nil
}

type queueDiversionsCommand struct{}

func (queueDiversionsCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	all, err := client.Diversions(e.ctx)
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(all)
	case len(all) == 0:
		fmt.Fprintln(e.out, "nothing is diverted")
		return nil
	}
	now := time.Now()
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{d.ID, describe(d.Selector), d.Pool, ago(d.Since, now), d.Reason})
	}
	return e.printTable("DIVERSION\tOF\tTO\tSINCE\tREASON", rows)
}

type queueUndivertCommand struct {
	Diversion string `arg:"" help:"The diversion's id."`
}

func (c queueUndivertCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	if err := client.EndDiversion(e.ctx, c.Diversion); err != nil {
		return err
	}
	if e.json {
		return e.printJSON(struct{}{})
	}
	fmt.Fprintln(e.out, "diversion ended")
	return nil
}
