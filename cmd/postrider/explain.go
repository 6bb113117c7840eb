package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type whyCommand struct {
	selection
	Limit int `help:"Explain at most so many recipients." default:"10"`
}

func (c whyCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	if c.selector() == (api.Selector{}) {
		return fmt.Errorf("name a message, or choose recipients by --recipient, --tenant, --stream, --campaign or --domain")
	}
	page, err := client.Why(e.ctx, api.ListRequest{Selector: c.selector(), Limit: c.Limit})
	if err != nil {
		return err
	}
	if len(page.Recipients) == 0 {
		return fmt.Errorf("nothing waits that is %s: its recipients are settled, or it never was here", describe(c.selector()))
	}
	if e.json {
		return e.printJSON(page)
	}
	now := time.Now()
	for i, w := range page.Recipients {
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		printWhy(e, &w, now)
	}
	if page.Next != "" {
		fmt.Fprintln(e.out, "\nMore recipients wait: --limit shows them.")
	}
	return nil
}

func printWhy(e *environment, w *api.Why, now time.Time) {
	fmt.Fprintf(e.out, "%s/%d to <%s>, %s/%s\n", w.Message, w.Index, w.Recipient.Recipient, w.Tenant, w.Stream)
	fmt.Fprintf(e.out, "  accepted  %s, expires %s\n", ago(w.Accepted, now), ago(w.Expires, now))
	state := w.State
	if !w.Next.IsZero() {
		state += ", " + ago(w.Next, now)
	}
	fmt.Fprintf(e.out, "  state     %s\n", state)
	for i, reason := range w.Reasons {
		fmt.Fprintf(e.out, "  %-9s %s\n", map[bool]string{true: "because"}[i == 0], reason)
	}
	if w.Site != "" {
		fmt.Fprintf(e.out, "  site      %s (%s)\n", w.Site, strings.Join(w.Hosts, ", "))
	}
	if w.State == "throttled" {
		fmt.Fprintf(e.out, "  to do     nothing; or postrider throttles lift %s\n", w.Site)
	}
}

type siteCommand struct {
	Site string `arg:"" help:"The site's name, as sites and why show it."`
}

func (c siteCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	site, err := client.Site(e.ctx, c.Site)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(site)
	}
	limits := fmt.Sprintf("%s at once", count(site.MaxConnections, "connection"))
	if site.MessagesPerConnection > 0 {
		limits += fmt.Sprintf(", %s each", count(site.MessagesPerConnection, "message"))
	}
	if site.Rate != "" {
		limits += ", " + site.Rate
	}
	fmt.Fprintf(e.out, "%s\n  limits    %s\n  now       %s, %s being sent, %s with more\n", site.Site.Site, limits,
		count(site.Connections, "connection"), count(site.InFlight, "recipient"), count(site.Queues, "queue"))
	for _, r := range site.Routes {
		fmt.Fprintf(e.out, "  route     %s from %s: %s, %d idle, %s\n", strings.Join(r.Hosts, ", "), r.Source,
			count(r.Connections, "connection"), r.Idle, cmp.Or(prefixed("last failure: ", r.LastFailure), "no failure"))
	}
	return printThrottles(e, site.Throttles)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

type throttlesCommand struct {
	List throttlesListCommand `cmd:"" help:"List what slows sites down, why and until when."`
	Lift throttlesLiftCommand `cmd:"" help:"End the throttles of a site."`
}

type throttlesListCommand struct{}

func (throttlesListCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	all, err := client.Throttles(e.ctx)
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(all)
	case len(all) == 0:
		fmt.Fprintln(e.out, "no throttle is in force")
		return nil
	}
	return printThrottles(e, all)
}

func printThrottles(e *environment, all []api.Throttle) error {
	if len(all) == 0 {
		return nil
	}
	now := time.Now()
	var rows [][]string
	for _, t := range all {
		cause, ends := "-", "with success"
		if t.Cause != nil {
			cause = t.Cause.String()
		}
		if !t.Until.IsZero() {
			ends = ago(t.Until, now)
		}
		who := "all"
		if t.Tenant != "" {
			who = strings.Trim(t.Tenant+"/"+t.Campaign, "/")
		}
		rows = append(rows, []string{t.Site, cmp.Or(t.Source, "all"), who, cmp.Or(t.Rule, t.Name), ends, t.Reason, cause})
	}
	return e.printTable("SITE\tSOURCE\tFOR\tTHROTTLE\tENDS\tREASON\tCAUSE", rows)
}

type throttlesLiftCommand struct {
	Site string `arg:"" help:"The site's name."`
	Name string `arg:"" optional:"" help:"The throttle's name; all of the site without one."`
}

func (c throttlesLiftCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	lifted, err := client.Lift(e.ctx, api.LiftRequest{Site: c.Site, Name: c.Name})
	return e.reportLifted(lifted, err, "throttle")
}

func (e *environment) reportLifted(lifted api.Lifted, err error, what string) error {
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(lifted)
	}
	fmt.Fprintln(e.out, count(lifted.Throttles, what), "lifted")
	return nil
}

type routeCommand struct {
	Destination string `arg:"" help:"An address, or a domain."`
}

func (c routeCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	route, err := client.Route(e.ctx, api.RouteRequest{Destination: c.Destination})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(route)
	}
	if route.Error != "" {
		return fmt.Errorf("no route to %s: %s", route.Domain, route.Error)
	}
	fmt.Fprintf(e.out, "%s\n  site      %s (from %s)\n", route.Domain, route.Site, route.Origin)
	for _, h := range route.Hosts {
		fmt.Fprintf(e.out, "  host      %d %s, %s\n", h.Preference, h.Name, strings.Join(h.Addresses, ", "))
		fmt.Fprintf(e.out, "            TLS %s%s\n", h.TLS, prefixed(": ", h.TLSReason))
	}
	for _, s := range route.Sources {
		fmt.Fprintf(e.out, "  source    %s (EHLO %s), %.0f %%%s\n", s.Name, s.EHLO, 100*s.Share, prefixed(", not now: ", s.Reason))
	}
	return nil
}
