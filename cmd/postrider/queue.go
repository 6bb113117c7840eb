package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type queueCommand struct {
	List       queueListCommand       `cmd:"" help:"List the queues: one for each tenant, stream and domain."`
	Show       queueShowCommand       `cmd:"" help:"Show waiting recipients."`
	Retry      queueRetryCommand      `cmd:"" help:"Try waiting recipients now."`
	Cancel     queueCancelCommand     `cmd:"" help:"Give waiting recipients up, each with an event."`
	Hold       queueHoldCommand       `cmd:"" help:"Keep recipients from being sent, those that wait and those to come."`
	Holds      queueHoldsCommand      `cmd:"" help:"List what is held."`
	Release    queueReleaseCommand    `cmd:"" help:"End a hold."`
	Divert     queueDivertCommand     `cmd:"" help:"Have mail leave by another pool of sources, what waits at once."`
	Diversions queueDiversionsCommand `cmd:"" help:"List what is diverted."`
	Undivert   queueUndivertCommand   `cmd:"" help:"End a diversion."`
	Top        queueTopCommand        `cmd:"" help:"Watch the longest queues."`
}

// selection is how recipients are chosen on the command line.
type selection struct {
	Message   string `arg:"" optional:"" help:"Message id, as the reply to the submission named it."`
	Recipient string `help:"Recipient address." placeholder:"ADDRESS"`
	Tenant    string `help:"Tenant." placeholder:"NAME"`
	Stream    string `help:"Stream." placeholder:"NAME"`
	Campaign  string `help:"Campaign." placeholder:"NAME"`
	Domain    string `help:"Recipients' domain." placeholder:"DOMAIN"`
}

func (s selection) selector() api.Selector {
	return api.Selector{
		Message: s.Message, Recipient: s.Recipient, Tenant: s.Tenant,
		Stream: s.Stream, Campaign: s.Campaign, Domain: s.Domain,
	}
}

type queueListCommand struct{}

func (queueListCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	answer, err := client.Queues(e.ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(answer)
	}
	now := time.Now()
	var rows [][]string
	for _, q := range answer.Queues {
		rows = append(rows, []string{
			q.Tenant, q.Stream, q.Domain, strconv.Itoa(q.Waiting), strconv.Itoa(q.Leased), ago(q.Oldest, now), nextOf(q, now),
		})
	}
	if len(rows) > 0 {
		if err := e.printTable("TENANT\tSTREAM\tDOMAIN\tWAITING\tSENDING\tOLDEST\tNEXT", rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.out, "%s of %s waiting\n", count(int(answer.Recipients), "recipient"), count(int(answer.Messages), "message"))
	if answer.Fault != "" {
		fmt.Fprintln(e.out, "new mail is refused:", answer.Fault)
	}
	return nil
}

// nextOf says when something is next sent of a queue.
func nextOf(q api.Queue, now time.Time) string {
	switch {
	case q.Held:
		return "held"
	case q.Opens.After(now) && q.Opens.After(q.NextDue):
		return "window opens " + ago(q.Opens, now)
	}
	return ago(q.NextDue, now)
}

type queueShowCommand struct {
	selection
	Held  bool `help:"Only those that are held."`
	Limit int  `help:"Show at most so many; 0 for all." default:"100"`
}

func (c queueShowCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	request := api.ListRequest{Selector: c.selector()}
	shown := 0
	for {
		request.Limit = pageSize
		if c.Limit > 0 && !c.Held {
			request.Limit = min(request.Limit, c.Limit-shown)
		}
		page, err := client.List(e.ctx, request)
		if err != nil {
			return err
		}
		if c.Held {
			page.Recipients = slices.DeleteFunc(page.Recipients, func(r api.Recipient) bool { return r.Held == "" })
			if c.Limit > 0 {
				page.Recipients = page.Recipients[:min(len(page.Recipients), c.Limit-shown)]
			}
		}
		if err := showRecipients(e, page.Recipients); err != nil {
			return err
		}
		shown += len(page.Recipients)
		request.After = page.Next
		if page.Next == "" || shown == c.Limit {
			break
		}
	}
	switch {
	case shown == 0 && c.Message != "" && !c.Held:
		return fmt.Errorf("message %s is not in the queue: all its recipients are settled, or it never was here", c.Message)
	case shown == 0 && !e.json:
		fmt.Fprintln(e.out, "nobody waits")
	case request.After != "" && !e.json:
		fmt.Fprintln(e.out, "There is more: --limit shows it.")
	}
	return nil
}

func showRecipients(e *environment, recipients []api.Recipient) error {
	now := time.Now()
	for _, r := range recipients {
		if e.json {
			if err := e.printLine(r); err != nil {
				return err
			}
			continue
		}
		state := "due " + ago(r.Due, now)
		switch {
		case r.Leased:
			state = "being sent"
		case r.Held != "":
			state = "held: " + r.Held
		}
		fmt.Fprintf(e.out, "%s/%d  <%s>  %s/%s  %s, accepted %s, %s, %s\n",
			r.Message, r.Index, r.Recipient, r.Tenant, r.Stream, count(int(r.Size), "byte"), ago(r.Accepted, now), count(r.Attempts, "attempt"), state)
		switch {
		case r.LastReply != nil:
			fmt.Fprintf(e.out, "    last reply: %s\n", r.LastReply)
		case r.LastReason != "":
			fmt.Fprintf(e.out, "    last attempt: %s\n", r.LastReason)
		}
	}
	return nil
}

type queueRetryCommand struct {
	selection
	All bool `help:"Every waiting recipient."`
}

func (c queueRetryCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	changed, err := client.Retry(e.ctx, api.ChangeRequest{Selector: c.selector(), All: c.All})
	return e.report(changed, err, "due now")
}

type queueCancelCommand struct {
	selection
	All    bool   `help:"Every waiting recipient."`
	Reason string `help:"What the events will say." placeholder:"TEXT"`
}

// Help says what cannot be taken back.
func (queueCancelCommand) Help() string {
	return "Takes effect at once, for all that was accepted so far, and cannot be taken back: " +
		"to interrupt it, or a crash, only ends the waiting for the events. " +
		"What is being sent goes on, and is not tried again. " +
		"What is accepted later is sent, of the same campaign too."
}

func (c queueCancelCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	changed, err := client.Cancel(e.ctx, api.ChangeRequest{Selector: c.selector(), All: c.All, Reason: c.Reason})
	return e.report(changed, err, "cancelled")
}

func (e *environment) report(changed api.Changed, err error, what string) error {
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(changed)
	}
	fmt.Fprintln(e.out, count(changed.Recipients, "recipient"), what)
	return nil
}
