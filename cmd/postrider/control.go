package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type reloadCommand struct{}

func (reloadCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	if err := client.Reload(e.ctx); err != nil {
		return err
	}
	if e.json {
		return e.printJSON(struct{}{})
	}
	fmt.Fprintln(e.out, "configuration reloaded")
	return nil
}

type versionCommand struct{}

func (versionCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	daemon, err := client.Version(e.ctx)
	if e.json {
		answer := struct {
			Version string       `json:"version"`
			Go      string       `json:"go"`
			Daemon  *api.Version `json:"daemon,omitempty"`
		}{Version: version, Go: runtime.Version()}
		if err == nil {
			answer.Daemon = &daemon
		}
		return e.printJSON(answer)
	}
	fmt.Fprintf(e.out, "postrider %s (%s)\n", version, runtime.Version())
	if err != nil {
		fmt.Fprintf(e.out, "daemon    not asked: %v\n", err)
		return nil
	}
	fmt.Fprintf(e.out, "daemon    %s (%s), started %s\n", daemon.Version, daemon.Go, ago(daemon.Started, time.Now()))
	return nil
}

type sitesCommand struct{}

func (sitesCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	sites, err := client.Sites(e.ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(sites)
	}
	now := time.Now()
	var rows [][]string
	for _, s := range sites {
		rows = append(rows, []string{
			s.Site, strconv.Itoa(s.Queues), strconv.Itoa(s.Connections), strconv.Itoa(s.InFlight), throttles(s.Throttles, now),
		})
	}
	if len(rows) == 0 {
		fmt.Fprintln(e.out, "no site in use")
		return nil
	}
	return e.printTable("SITE\tQUEUES\tCONNECTIONS\tSENDING\tTHROTTLES", rows)
}

// throttles says why a site is being left alone, and until when.
func throttles(all []api.Throttle, now time.Time) string {
	if len(all) == 0 {
		return "-"
	}
	var words []string
	for _, t := range all {
		word := t.Reason
		if !t.Until.IsZero() {
			word += ", ends " + ago(t.Until, now)
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}
