package daemon

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// makeChecks returns what a stream says of the rules for bulk mail.
func makeChecks(s config.Stream) (map[string]account.Check, error) {
	all, err := account.ParseCheck(s.Checks)
	if err != nil {
		return nil, err
	}
	named := map[bulk.Rule]account.Check{}
	for rule, text := range s.Check.Named() {
		if named[bulk.Rule(rule)], err = account.ParseCheck(text); err != nil {
			return nil, err
		}
	}
	return bulk.Levels(all, named), nil
}

// Check is what the rules for bulk mail say of a message.
type Check struct {
	Stream   string    `json:"stream"`
	Findings []Finding `json:"findings"`
}

// Finding is a rule that the message breaks.
type Finding struct {
	Rule string `json:"rule"`
	// Level is what the stream makes of it: off, warn or enforce.
	Level string `json:"level"`
	Text  string `json:"text"`
}

// Refused reports whether submission would refuse the message for it.
func (c *Check) Refused() bool {
	for _, f := range c.Findings {
		if f.Level == account.CheckEnforce.String() {
			return true
		}
	}
	return false
}

// RunCheck holds a message against all rules for bulk mail, with the streams
// and the DKIM keys of the configuration file. Nothing is sent or stored.
func RunCheck(ctx context.Context, configFile string, o DryRunOptions) (*Check, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return nil, err
	}
	directory, err := dryAccounts(c)
	if err != nil {
		return nil, err
	}
	injection, err := o.injection(c, directory)
	if err != nil {
		return nil, err
	}
	keys, err := drySigner(c, directory)
	if err != nil {
		return nil, err
	}
	server, err := submission.New(submission.Options{
		Hostname: c.Hostname, Store: &kept{}, Accounts: directory, Limits: submissionLimits(c), Aligned: keys.aligns,
	})
	if err != nil {
		return nil, err
	}
	examined, err := server.Examine(injection)
	if err := errors.Join(err, server.Shutdown(ctx)); err != nil {
		return nil, err
	}
	check := &Check{Stream: examined.Stream.Name, Findings: []Finding{}}
	for _, f := range examined.Findings {
		check.Findings = append(check.Findings, Finding{string(f.Rule), examined.Stream.Checks[string(f.Rule)].String(), f.Text})
	}
	return check, nil
}

// drySigner has the keys of the configuration file, and nobody to warn.
func drySigner(c *config.Config, directory *accounts) (*signer, error) {
	quiet := slog.New(slog.DiscardHandler)
	keys, err := loadSigner(c, quiet)
	if err != nil {
		return nil, err
	}
	s := newSigner(directory, quiet, prometheus.NewRegistry())
	s.current.Store(keys)
	return s, nil
}
