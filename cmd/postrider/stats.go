package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type statsCommand struct {
	By       string `help:"A row for each: tenant, stream, campaign, day or link." default:"campaign" enum:"tenant,stream,campaign,day,link"`
	Tenant   string `help:"Tenant." placeholder:"NAME"`
	Stream   string `help:"Stream." placeholder:"NAME"`
	Campaign string `help:"Campaign." placeholder:"NAME"`
	From     string `help:"First day, in UTC." placeholder:"YYYY-MM-DD"`
	To       string `help:"Last day, in UTC." placeholder:"YYYY-MM-DD"`
	Readers  bool   `help:"Show what readers did: opens and clicks of people, and those of machines with them."`
	Limit    int    `help:"Show at most so many rows; 0 for all." default:"100"`
}

// Run prints what was counted.
func (c statsCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	answer, err := client.Stats(e.ctx, api.StatsRequest{
		Tenant: c.Tenant, Stream: c.Stream, Campaign: c.Campaign, From: c.From, To: c.To, By: c.By, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(answer)
	}
	if len(answer.Rows) == 0 {
		fmt.Fprintln(e.out, "nothing was counted")
		return nil
	}
	if err := c.printRows(e, answer); err != nil {
		return err
	}
	c.printNotes(e, answer)
	return nil
}

func (c statsCommand) printRows(e *environment, answer api.Stats) error {
	heading, names := c.names()
	if c.By == "link" {
		var rows [][]string
		for _, r := range answer.Rows {
			rows = append(rows, []string{r.Link, r.Clicks.Unique.String(), r.Clicks.Human.String(), r.Clicks.Raw.String()})
		}
		t := answer.Total.Clicks
		rows = append(rows, []string{"all links", t.Unique.String(), t.Human.String(), t.Raw.String()})
		return e.printTable("LINK\tCLICKED\tBY PEOPLE\tALL CLICKS", rows)
	}
	columns, cells := "\tACCEPTED\tSENT\tDELIVERED\tBOUNCED\tEXPIRED\tDROPPED\tOPENED\tCLICKED\tUNSUBSCRIBED\tCOMPLAINED", statsCells
	if c.Readers {
		columns, cells = "\tDELIVERED\tOPENED\tBY PEOPLE\tALL OPENS\tCLICKED\tBY PEOPLE\tALL CLICKS\tUNSUBSCRIBED\tCOMPLAINED", readerCells
	}
	var rows [][]string
	for _, r := range answer.Rows {
		rows = append(rows, append(names(&r), cells(&r)...))
	}
	last := make([]string, strings.Count(heading, "\t")+1)
	last[0] = "total"
	rows = append(rows, append(last, cells(&answer.Total)...))
	return e.printTable(heading+columns, rows)
}

// names are the columns that say what a row is about.
func (c statsCommand) names() (heading string, of func(*api.StatsRow) []string) {
	switch c.By {
	case "day":
		return "DAY", func(r *api.StatsRow) []string { return []string{r.Day} }
	case "tenant":
		return "TENANT", func(r *api.StatsRow) []string { return []string{orDash(r.Tenant)} }
	case "stream":
		return "TENANT\tSTREAM", func(r *api.StatsRow) []string { return []string{orDash(r.Tenant), orDash(r.Stream)} }
	default:
		return "TENANT\tSTREAM\tCAMPAIGN", func(r *api.StatsRow) []string {
			return []string{orDash(r.Tenant), orDash(r.Stream), orDash(r.Campaign)}
		}
	}
}

func orDash(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

// statsCells show of readers those who did it, once each.
func statsCells(r *api.StatsRow) []string {
	cells := make([]string, 0, 10)
	if m := r.Mail; m != nil {
		for _, n := range []int64{m.Accepted, m.Sent, m.Delivered, m.Bounced, m.Expired, m.Dropped} {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
	}
	if r.Opens != nil && r.Unsubscribed != nil && r.Complained != nil {
		cells = append(cells, r.Opens.Unique.String(), r.Clicks.Unique.String(), r.Unsubscribed.String(), r.Complained.String())
	}
	return cells
}

// readerCells show of readers all that is counted.
func readerCells(r *api.StatsRow) []string {
	if r.Mail == nil || r.Opens == nil || r.Unsubscribed == nil || r.Complained == nil {
		return nil
	}
	cells := []string{strconv.FormatInt(r.Mail.Delivered, 10)}
	for _, hits := range []api.StatsHits{*r.Opens, r.Clicks} {
		cells = append(cells, hits.Unique.String(), hits.Human.String(), hits.Raw.String())
	}
	return append(cells, r.Unsubscribed.String(), r.Complained.String())
}

// printNotes says what the table has no place for.
func (c statsCommand) printNotes(e *environment, answer api.Stats) {
	total := &answer.Total
	if c.By != "link" && total.Opens != nil && total.Mail != nil {
		fmt.Fprintf(e.out, "opens: %s in all, %s by people; clicks: %s in all, %s by people\n",
			total.Opens.Raw, total.Opens.Human, total.Clicks.Raw, total.Clicks.Human)
		var categories []string
		for _, category := range slices.Sorted(maps.Keys(total.Mail.Bounces)) {
			categories = append(categories, fmt.Sprintf("%s %d", category, total.Mail.Bounces[category]))
		}
		if len(categories) > 0 {
			fmt.Fprintln(e.out, "bounces:", strings.Join(categories, ", "))
		}
	}
	if answer.More > 0 {
		fmt.Fprintf(e.out, "%s: --limit shows all\n", count(answer.More, "more row"))
	}
	if answer.MaskBelow > 1 {
		fmt.Fprintf(e.out, "Counts of readers below %d are hidden, and so is, shown as + or *, what would give them away.\n", answer.MaskBelow)
	}
}
