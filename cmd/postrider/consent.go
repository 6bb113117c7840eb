package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type consentCommand struct {
	Check    consentCheckCommand    `cmd:"" help:"Say what may be measured of a reader, and who said so."`
	Set      consentSetCommand      `cmd:"" help:"Keep what a reader allows to be measured, as they told you."`
	Remove   consentRemoveCommand   `cmd:"" help:"Forget what was said of a reader."`
	List     consentListCommand     `cmd:"" help:"List what readers allow."`
	Unopened consentUnopenedCommand `cmd:"" help:"Say who of a list has not opened hygiene mail since a day."`
}

type consentCheckCommand struct {
	Address string `arg:"" help:"The address."`
	Tenant  string `help:"The tenant who would measure." default:"default" placeholder:"NAME"`
}

func (c consentCheckCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	verdict, err := client.CheckConsent(e.ctx, api.ConsentSelector{Tenant: c.Tenant, Address: c.Address})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(verdict)
	}
	fmt.Fprintln(e.out, "allowed at most:", verdict.Measure)
	if verdict.LastOpen != "" {
		fmt.Fprintln(e.out, "last opening:", verdict.LastOpen)
	}
	return e.printConsents(verdict.Consents)
}

type consentSetCommand struct {
	Address string `arg:"" help:"The address."`
	Measure string `arg:"" help:"individual, aggregate, hygiene or none."`
	Tenant  string `help:"The tenant who would measure." default:"default" placeholder:"NAME"`
	Source  string `help:"What led to it, such as a form or a letter." placeholder:"TEXT"`
}

func (c consentSetCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	kept, err := client.SetConsent(e.ctx, api.Consent{Tenant: c.Tenant, Address: c.Address, Measure: c.Measure, Source: c.Source})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(kept)
	}
	fmt.Fprintln(e.out, "kept")
	return nil
}

type consentRemoveCommand struct {
	Address string `arg:"" help:"The address."`
	Tenant  string `help:"The tenant who would measure." default:"default" placeholder:"NAME"`
	By      string `help:"Whose word: tenant, reader or erased." default:"tenant" placeholder:"WHO"`
}

// Help says what should be thought of.
func (consentRemoveCommand) Help() string {
	return "What the reader said, or asked for by an erasure, remove only at their own wish."
}

func (c consentRemoveCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	answer, err := client.RemoveConsent(e.ctx, api.ConsentSelector{Tenant: c.Tenant, Address: c.Address, By: c.By})
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(answer)
	case answer.Removed:
		fmt.Fprintln(e.out, "removed")
	default:
		fmt.Fprintln(e.out, "there was nothing")
	}
	return nil
}

type consentListCommand struct {
	Tenant string `help:"Only this tenant's." placeholder:"NAME"`
	Limit  int    `help:"Show at most so many; 0 for all." default:"100"`
}

func (c consentListCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	request := api.ConsentListRequest{Tenant: c.Tenant}
	return e.pages(c.Limit, "nobody has said anything", func(limit int) (int, string, error) {
		request.Limit = limit
		page, err := client.Consents(e.ctx, request)
		if err != nil {
			return 0, "", err
		}
		request.After = page.Next
		return len(page.Consents), page.Next, e.printConsents(page.Consents)
	})
}

// printConsents writes one a line.
func (e *environment) printConsents(all []api.Consent) error {
	now := time.Now()
	for _, c := range all {
		if e.json {
			if err := e.printLine(c); err != nil {
				return err
			}
			continue
		}
		who, by := "<"+c.Address+">", "by the "+c.By
		if c.Address == "" {
			who, by = "(erased)", "by an erasure"
		}
		fmt.Fprintf(e.out, "%s  %s  %s, %s, %s\n", who, c.Tenant, c.Measure, by, ago(c.Time, now))
	}
	return nil
}

type consentUnopenedCommand struct {
	File   string `arg:"" optional:"" help:"Addresses, one a line; standard input if left out or -."`
	Since  string `help:"Day such as 2026-05-01, in UTC." required:"" placeholder:"DAY"`
	Tenant string `help:"The tenant whose mail it is." default:"default" placeholder:"NAME"`
}

// Help says what the answer is worth.
func (consentUnopenedCommand) Help() string {
	return "Days of openings are kept of readers whose mail is measured for hygiene, and only of those who opened some of it: the list has to come from you."
}

func (c consentUnopenedCommand) Run(e *environment) error {
	content, err := e.read(c.File)
	if err != nil {
		return err
	}
	client := e.client()
	defer client.Close()
	const part = 1000
	for addresses := range slices.Chunk(strings.Fields(string(bytes.TrimSpace(content))), part) {
		answer, err := client.Unopened(e.ctx, api.UnopenedRequest{Tenant: c.Tenant, Since: c.Since, Addresses: addresses})
		if err != nil {
			return err
		}
		for _, address := range answer.Addresses {
			if e.json {
				err = e.printLine(map[string]string{"address": address})
			} else {
				_, err = fmt.Fprintln(e.out, address)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
