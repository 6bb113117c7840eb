package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type sourcesCommand struct {
	List sourcesListCommand `cmd:"" help:"List the sources, what keeps them from sending, and how far new ones have come."`
	Lift sourcesLiftCommand `cmd:"" help:"Let a suspended source send again."`
}

type sourcesListCommand struct{}

func (sourcesListCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	all, err := client.Sources(e.ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(all)
	}
	now := time.Now()
	for _, s := range all {
		through := ""
		if s.Proxied {
			through = ", through a proxy"
		}
		fmt.Fprintf(e.out, "%s  %s, EHLO %s%s\n", s.Name, cmp.Or(strings.Join(s.Addresses, " and "), "any address"), s.EHLO, through)
		for _, held := range s.Suspensions {
			ends := "until it is lifted"
			if !held.Until.IsZero() {
				ends = "probed " + ago(held.Until, now)
			}
			fmt.Fprintf(e.out, "  suspended at %s over %s, %s: %s\n", cmp.Or(held.Site, "all sites"), held.Families, ends, held.Reason)
		}
		for _, words := range s.WarmUp {
			fmt.Fprintf(e.out, "  %s\n", words)
		}
	}
	return nil
}

type sourcesLiftCommand struct {
	Source string `arg:"" help:"The source's name."`
	Site   string `arg:"" optional:"" help:"Only at this site."`
}

func (c sourcesLiftCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	lifted, err := client.LiftSource(e.ctx, api.LiftSourceRequest{Source: c.Source, Site: c.Site})
	return e.reportLifted(lifted, err, "suspension")
}
