package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// examples are one for each command, as they are typed.
func examples() map[string]string {
	return map[string]string{
		"serve":            "postrider serve --config /etc/postrider/postrider.toml",
		"reload":           "postrider reload",
		"send":             "postrider send --from you@example.com somebody@example.net",
		"queue list":       "postrider queue list",
		"queue show":       "postrider queue show --domain example.net",
		"queue retry":      "postrider queue retry --domain example.net",
		"queue cancel":     "postrider queue cancel --campaign november --reason 'wrong price'",
		"queue hold":       "postrider queue hold --campaign november --reason 'wrong price'",
		"queue holds":      "postrider queue holds",
		"queue release":    "postrider queue release 06f2k3m8q0v1c4t5a6b7",
		"queue divert":     "postrider queue divert --campaign november --pool backup",
		"queue diversions": "postrider queue diversions",
		"queue undivert":   "postrider queue undivert 06f2k3m8q0v1c4t5a6b7",
		"queue top":        "postrider queue top",
		"sites":            "postrider sites",
		"why":              "postrider why 06f2k3m8q0v1c4t5a6b7",
		"site":             "postrider site google.com",
		"sources list":     "postrider sources list",
		"sources lift":     "postrider sources lift a google.com",
		"trace":            "postrider trace google.com",
		"throttles list":   "postrider throttles list",
		"throttles lift":   "postrider throttles lift google.com backoff",
		"route":            "postrider route reader@example.net",
		"classify":         "postrider classify < replies.txt",
		"bounce parse":     "postrider bounce parse returned/*.eml",
		"check-message":    "postrider check-message --stream marketing newsletter.eml",
		"events tail":      "postrider events tail --type bounced,expired",
		"stats":            "postrider stats --by day --campaign november --from 2026-11-01",
		"rates":            "postrider rates --tenant shop",
		"suppress check":   "postrider suppress check --stream marketing reader@example.net",
		"suppress add":     "postrider suppress add --tenant shop reader@example.net",
		"suppress remove":  "postrider suppress remove --reason hard_bounce reader@example.net",
		"suppress list":    "postrider suppress list --tenant shop --reason complaint",
		"suppress import":  "postrider suppress import --tenant shop --reason unsubscribed list.csv",
		"suppress export":  "postrider suppress export --tenant shop > suppressed.csv",
		"consent check":    "postrider consent check --tenant shop reader@example.net",
		"consent set":      "postrider consent set --source 'sign-up form' reader@example.net aggregate",
		"consent remove":   "postrider consent remove reader@example.net",
		"consent list":     "postrider consent list --tenant shop",
		"consent unopened": "postrider consent unopened --since 2026-05-01 list.txt",
		"privacy find":     "postrider privacy find --tenant shop reader@example.net",
		"privacy export":   "postrider privacy export --tenant shop reader@example.net > export.jsonl",
		"privacy rectify":  "postrider privacy rectify --tenant shop --to new@example.net reader@example.net",
		"privacy erase":    "postrider privacy erase --tenant shop reader@example.net",
		"store check":      "postrider store check",
		"store rebuild":    "postrider store rebuild",
		"tracking rewrite": "postrider tracking rewrite --stream marketing newsletter.eml > sent.eml",
		"tracking decode":  "postrider tracking decode https://t.example.com/c/QDEyMzQ...",
		"tracking domains": "postrider tracking domains",
		"tracking rotate":  "postrider tracking rotate --config /etc/postrider/postrider.toml",
		"config check":     "postrider config check /etc/postrider/postrider.toml",
		"password":         "postrider password > /etc/postrider/shop.hash",
		"dkim keygen":      "postrider dkim keygen example.com s2026 --out /etc/postrider/s2026.pem",
		"dkim check":       "postrider dkim check example.com",
		"sink":             "postrider sink --rule 'rcpt:@full.example=452 4.2.2 mailbox full;times=1'",
		"version":          "postrider version --json",
	}
}

// printHelp is kong's help with an example behind it.
func printHelp(out io.Writer) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil || ctx.Selected() == nil {
			return err
		}
		example, ok := examples()[strings.TrimPrefix(ctx.Selected().FullPath(), ctx.Model.Name+" ")]
		if !ok { // a group of commands
			return nil
		}
		_, err := fmt.Fprintf(out, "\nExample:\n  %s\n", example)
		return err
	}
}
