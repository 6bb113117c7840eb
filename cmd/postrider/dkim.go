package main

import (
	"cmp"
	"fmt"

	"github.com/postrider-mta/postrider/daemon/offline"
)

type dkimCommand struct {
	Keygen dkimKeygenCommand `cmd:"" help:"Make a key, write it to a file and print the DNS record to publish."`
	Check  dkimCheckCommand  `cmd:"" help:"Compare what DNS publishes for a domain with the configured keys."`
}

type dkimKeygenCommand struct {
	Domain    string `arg:"" help:"Domain that the key signs for."`
	Selector  string `arg:"" help:"Selector, such as s2026."`
	Algorithm string `help:"rsa (2,048 bits) or ed25519." enum:"rsa,ed25519" default:"rsa"`
	Out       string `help:"File for the private key; SELECTOR.DOMAIN.pem if left out." placeholder:"FILE"`
}

func (c dkimKeygenCommand) Run(e *environment) error {
	file := cmp.Or(c.Out, c.Selector+"."+c.Domain+".pem")
	key, err := offline.GenerateKey(c.Domain, c.Selector, c.Algorithm, file)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(key)
	}
	fmt.Fprintf(e.out, "private key: %s\npublish this TXT record, then run postrider dkim check %s:\n\n%s\n", key.File, c.Domain, key.Zone)
	return nil
}

type dkimCheckCommand struct {
	Domain string `arg:"" help:"Domain to check."`
	Config string `help:"Configuration file that names the keys." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

func (c dkimCheckCommand) Run(e *environment) error {
	reports, err := offline.CheckKeys(e.ctx, c.Config, c.Domain)
	if err != nil {
		return err
	}
	bad := 0
	for _, report := range reports {
		if !report.Verifies() {
			bad++
		}
	}
	if e.json {
		if err := e.printJSON(reports); err != nil {
			return err
		}
	} else {
		for _, report := range reports {
			verdict := "ok"
			if !report.Verifies() {
				verdict = "signatures will not verify"
			}
			fmt.Fprintf(e.out, "%s: %s\n", report.Name, verdict)
			for _, problem := range report.Problems {
				fmt.Fprintf(e.out, "    %s\n", problem.Text)
			}
			if !report.Verifies() {
				fmt.Fprintf(e.out, "    publish: %s\n", report.Want)
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s of %d not usable as published", count(bad, "key"), len(reports))
	}
	return nil
}
