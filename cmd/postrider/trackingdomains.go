package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type trackingDomainsCommand struct{}

// Run lists them. Failing ones are what is listed, not a failure of the
// command.
func (trackingDomainsCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	all, err := client.TrackingDomains(e.ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(e.out, "no tracking domain is tested: there is none, or self_test is false")
		return nil
	}
	now := time.Now()
	for _, d := range all {
		fmt.Fprintf(e.out, "%s  %s since %s, of %s\n", d.URL, d.Status, d.Since.Local().Format(time.DateTime), strings.Join(d.Tenants, ", "))
		for _, line := range domainDetails(d, now) {
			fmt.Fprintf(e.out, "  %s\n", line)
		}
	}
	return nil
}

// domainDetails are what there is to say of a domain beyond its status.
func domainDetails(d api.TrackingDomain, now time.Time) (lines []string) {
	if d.Failure != "" {
		lines = append(lines, fmt.Sprintf("failed %s in a row, last %s: %s", count(d.Failures, "time"), ago(d.Probed, now), d.Failure))
	}
	if d.Failure != "" && !d.Succeeded.IsZero() {
		lines = append(lines, "answered last "+ago(d.Succeeded, now))
	}
	if d.Status == "failing" {
		lines = append(lines, "mail goes out without links to it")
	}
	if !d.CertificateEnds.IsZero() {
		lines = append(lines, "certificate until "+d.CertificateEnds.Local().Format(time.DateOnly))
	}
	return lines
}
