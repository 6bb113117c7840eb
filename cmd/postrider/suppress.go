package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type suppressCommand struct {
	Check  suppressCheckCommand  `cmd:"" help:"Say whether an address may be mailed, and what is known against it."`
	Add    suppressAddCommand    `cmd:"" help:"Keep an address from being mailed."`
	Remove suppressRemoveCommand `cmd:"" help:"Let an address be mailed again."`
	List   suppressListCommand   `cmd:"" help:"List who is not mailed."`
	Import suppressImportCommand `cmd:"" help:"Add a list of addresses or of hashes of them."`
	Export suppressExportCommand `cmd:"" help:"Write the list down, as import reads it."`
}

// whose says whose list a command is about.
type whose struct {
	Tenant     string `help:"The tenant whose mail it is." default:"default" placeholder:"NAME"`
	AllTenants bool   `help:"The operator's own list, which keeps every tenant's mail back."`
}

// allTenants is the name of the operator's own list.
const allTenants = "*"

func (w whose) name() string {
	if w.AllTenants {
		return allTenants
	}
	return w.Tenant
}

type suppressCheckCommand struct {
	Address string `arg:"" help:"The address."`
	Tenant  string `help:"The tenant who would mail it." default:"default" placeholder:"NAME"`
	Stream  string `help:"The stream; without it, whether none of the tenant's may." placeholder:"NAME"`
}

func (c suppressCheckCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	verdict, err := client.CheckSuppression(e.ctx, api.SuppressionCheck{Tenant: c.Tenant, Address: c.Address, Stream: c.Stream})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(verdict)
	}
	switch {
	case verdict.Suppressed && c.Stream == "":
		fmt.Fprintf(e.out, "mailed on no stream: %s\n", verdict.Reason)
	case verdict.Suppressed:
		fmt.Fprintf(e.out, "not mailed on %s: %s\n", c.Stream, verdict.Reason)
	case c.Stream == "" && len(verdict.Suppressions) > 0:
		fmt.Fprintln(e.out, "mailed on some streams")
	default:
		fmt.Fprintln(e.out, "mailed")
	}
	return e.printSuppressions(verdict.Suppressions)
}

type suppressAddCommand struct {
	Address string `arg:"" help:"The address, or the SHA-256 or MD5 of it in lower case, in hexadecimal digits."`
	whose
	Stream  string        `help:"Only mail on this stream." placeholder:"NAME"`
	Reason  string        `help:"hard_bounce, soft_bounce, complaint, unsubscribed or manual." default:"manual" placeholder:"REASON"`
	Expires time.Duration `help:"For so long, such as 720h; for ever without." placeholder:"DURATION"`
}

func (c suppressAddCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	s := api.Suppression{Tenant: c.name(), Stream: c.Stream, Address: c.Address, Reason: c.Reason}
	if !strings.Contains(c.Address, "@") {
		s.Address, s.Hash = "", c.Address
	}
	if c.Expires != 0 {
		s.Expires = time.Now().Add(c.Expires).UTC()
	}
	answer, err := client.Suppress(e.ctx, s)
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(answer)
	case answer.Added:
		fmt.Fprintln(e.out, "suppressed")
	default:
		fmt.Fprintln(e.out, "it was suppressed already")
	}
	return nil
}

type suppressRemoveCommand struct {
	Address string `arg:"" help:"The address, or a hash of it."`
	whose
	Stream string `help:"Only what holds for this stream." placeholder:"NAME"`
	Reason string `help:"Only what has this reason." placeholder:"REASON"`
}

// Help says what should be thought of.
func (suppressRemoveCommand) Help() string {
	return "Whoever complained, unsubscribed or was erased asked not to be mailed: remove that only at their own wish."
}

func (c suppressRemoveCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	removed, err := client.Unsuppress(e.ctx, api.SuppressionSelector{
		Tenant: c.name(), Stream: c.Stream, Reason: c.Reason, Address: c.Address,
	})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(removed)
	}
	fmt.Fprintln(e.out, count(len(removed.Suppressions), "suppression"), "removed")
	return e.printSuppressions(removed.Suppressions)
}

type suppressListCommand struct {
	Tenant     string `help:"Only this tenant's." placeholder:"NAME"`
	AllTenants bool   `help:"Only the operator's own list."`
	Stream     string `help:"Only what holds for this stream." placeholder:"NAME"`
	Reason     string `help:"Only what has this reason." placeholder:"REASON"`
	Limit      int    `help:"Show at most so many; 0 for all." default:"100"`
}

func (c suppressListCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	request := api.SuppressionListRequest{Selector: api.SuppressionSelector{
		Tenant: whose{c.Tenant, c.AllTenants}.name(), Stream: c.Stream, Reason: c.Reason,
	}}
	return e.pages(c.Limit, "nobody is suppressed", func(limit int) (int, string, error) {
		request.Limit = limit
		page, err := client.Suppressions(e.ctx, request)
		if err != nil {
			return 0, "", err
		}
		request.After = page.Next
		return len(page.Suppressions), page.Next, e.printSuppressions(page.Suppressions)
	})
}

// printSuppressions writes one a line.
func (e *environment) printSuppressions(all []api.Suppression) error {
	now := time.Now()
	for _, s := range all {
		if e.json {
			if err := e.printLine(s); err != nil {
				return err
			}
			continue
		}
		who := "<" + s.Address + ">"
		if s.Address == "" {
			who = s.Hash
		}
		fmt.Fprintf(e.out, "%s  %s  %s, %s%s\n", who, scope(s), s.Reason, ago(s.Time, now), until(s.Expires, now))
	}
	return nil
}

// scope says whose mail is kept back.
func scope(s api.Suppression) string {
	tenant := s.Tenant
	if tenant == allTenants {
		tenant = "all tenants"
	}
	if s.Stream == "" {
		return tenant
	}
	return tenant + "/" + s.Stream
}

func until(end, now time.Time) string {
	if end.IsZero() {
		return ""
	}
	return ", ends " + ago(end, now)
}
