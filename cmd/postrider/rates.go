package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type ratesCommand struct {
	Tenant string `help:"Tenant." placeholder:"NAME"`
	All    bool   `help:"Show providers that got little mail too."`
}

// Run prints the shares of bounces and complaints.
func (c ratesCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	answer, err := client.Rates(e.ctx, c.Tenant)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(answer)
	}
	if len(answer.Rates) == 0 {
		fmt.Fprintln(e.out, "nothing was sent lately")
		return nil
	}
	now := time.Now()
	var rows [][]string
	hidden := 0
	for i := range answer.Rates {
		r := &answer.Rates[i]
		if r.Level == "site" && r.State == "few" && !c.All {
			hidden++
			continue
		}
		rows = append(rows, rateCells(r, now))
	}
	first := &answer.Rates[0]
	heading := fmt.Sprintf("TENANT\tSTREAM\tCAMPAIGN\tSITE\tDELIVERED\tBLOCKED\tBOUNCED IN %s\tWARN/ACT\tCOMPLAINED IN %s\tWARN/ACT\tSTATE",
		seconds(first.Bounces.Window), seconds(first.Complaints.Window))
	if err := e.printTable(heading, rows); err != nil {
		return err
	}
	c.printNotes(e, answer.Rates, hidden, now)
	return nil
}

// rateCells are the columns of one row. What a row is not about has a star: it
// is all of them.
func rateCells(r *api.Rate, now time.Time) []string {
	stream, campaign, site := r.Stream, "*", "*"
	switch r.Level {
	case "tenant":
		stream = "*"
	case "campaign":
		campaign = orDash(r.Campaign)
	case "site":
		site = r.Site
	}
	state := r.State
	if !r.Since.IsZero() {
		state += " " + ago(r.Since, now)
	}
	return []string{
		r.Tenant, stream, campaign, site, strconv.Itoa(r.Delivered), strconv.Itoa(r.Blocked),
		rateShare(&r.Bounces), rateLimits(&r.Bounces), rateShare(&r.Complaints), rateLimits(&r.Complaints), state,
	}
}

func rateShare(f *api.RateFigure) string {
	if f.Sample == 0 && f.Count == 0 {
		return "-"
	}
	text := fmt.Sprintf("%s %% (%d of %d", decimal(f.Percent), f.Count, f.Sample)
	if f.Few {
		text += ", few"
	}
	return text + ")"
}

func rateLimits(f *api.RateFigure) string { return decimal(f.Warn) + "/" + decimal(f.Act) + " %" }

// decimal writes a percentage with three digits behind the point at most.
func decimal(percent float64) string {
	text := strconv.FormatFloat(percent, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// seconds writes a span in hours and minutes.
func seconds(n int) string {
	text := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// printNotes says why, and what there is to do.
func (c ratesCommand) printNotes(e *environment, all []api.Rate, hidden int, now time.Time) {
	for i := range all {
		r := &all[i]
		if r.Reason == "" {
			continue
		}
		fmt.Fprintf(e.out, "%s: %s, %s\n", r.State, r.Tenant, r.Reason)
		switch r.State {
		case "held":
			fmt.Fprintf(e.out, "  it ends with: postrider queue release %s\n", r.Hold)
		case "slowed":
			fmt.Fprintf(e.out, "  the pause ends %s, or with: postrider throttles lift '*' campaign\n", ago(r.Until, now))
		}
	}
	if hidden > 0 {
		fmt.Fprintf(e.out, "%s with few recipients: --all shows them\n", count(hidden, "provider"))
	}
}
