package main

import (
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/daemon/offline"
)

type storeCommand struct {
	Check   storeCheckCommand   `cmd:"" help:"Look for damage in the queue's files, while no daemon runs."`
	Rebuild storeRebuildCommand `cmd:"" help:"Make a damaged queue.db anew from the journal, while no daemon runs."`
}

type storeCheckCommand struct {
	Config string `help:"Configuration file that names the data folder." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

// errStoreDamaged is the verdict; what is wrong was printed.
var errStoreDamaged = errors.New("the store is damaged")

func (c storeCheckCommand) Run(e *environment) error {
	report, err := offline.CheckStore(e.ctx, c.Config)
	if err != nil {
		return err
	}
	if e.json {
		err = e.printJSON(report)
	} else {
		e.showStore(&report)
	}
	if err == nil && !report.Whole() {
		err = errStoreDamaged
	}
	return err
}

func (e *environment) showStore(r *offline.StoreReport) {
	for _, problem := range r.Problems {
		fmt.Fprintln(e.out, problem)
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(e.out, "postrider store rebuild makes queue.db anew from the journal")
	}
	if r.LostBodies > 0 {
		fmt.Fprintf(e.out, "%s: %s cannot be read in the journal: put its segments back from a copy, or let the mail expire\n",
			r.Folder, count(int(r.LostBodies), "message"))
	}
	if r.Whole() {
		fmt.Fprintf(e.out, "%s: ok: %s of %s in %s\n", r.Folder,
			count(int(r.Recipients), "recipient"), count(int(r.Messages), "message"), count(int(r.Queues), "queue"))
	}
}

type storeRebuildCommand struct {
	Config string `help:"Configuration file that names the data folder." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
	Force  bool   `help:"Rebuild a queue.db that is whole, too."`
}

func (c storeRebuildCommand) Run(e *environment) error {
	report, err := offline.RebuildStore(e.ctx, c.Config, c.Force)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(report)
	}
	e.showRebuild(&report)
	return nil
}

func (e *environment) showRebuild(r *offline.RebuildReport) {
	fmt.Fprintf(e.out, "%s: queue.db made anew from %s in %s: %s of %s owed, %s\n", r.Folder,
		count(int(r.Records), "record"), count(r.Segments, "segment"),
		count(int(r.Recipients), "recipient"), count(int(r.Messages), "message"), count(r.Holds, "hold"))
	if r.Kept != "" {
		fmt.Fprintf(e.out, "the one before is kept as %s\n", r.Kept)
	}
	if r.Ended > 0 {
		fmt.Fprintf(e.out, "%s had ended, as the events tell\n", count(int(r.Ended), "recipient"))
	}
	if n := r.Damaged + r.NotUnderstood; n > 0 {
		fmt.Fprintf(e.out, "%s of the journal cannot be read: mail in it is lost, or is sent again\n", count(int(n), "place"))
	}
	if r.DamagedEvents > 0 {
		fmt.Fprintf(e.out, "%s of events cannot be read: mail that they told of is sent again\n", count(int(r.DamagedEvents), "place"))
	}
	if !r.RulesKnown {
		fmt.Fprintln(e.out, "the holds and cancels are those that the journal still tells of: look at them with postrider queue holds once the daemon runs")
	}
}
