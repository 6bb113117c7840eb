package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon"
	"github.com/postrider-mta/postrider/daemon/offline"
)

type trackingCommand struct {
	Rewrite trackingRewriteCommand `cmd:"" help:"Show what would be sent of a message, with its links and pixel. Nothing is sent."`
	Decode  trackingDecodeCommand  `cmd:"" help:"Say what a tracked link holds and where it leads."`
	Domains trackingDomainsCommand `cmd:"" help:"Show which tracking domains answer; mail goes out without links to those that do not."`
	Rotate  trackingRotateCommand  `cmd:"" help:"Make a new key for tracked links; links in mail that is sent work on."`
}

type trackingRewriteCommand struct {
	File       string `arg:"" optional:"" help:"Message, header and body; standard input if left out or -."`
	Tenant     string `help:"Tenant whose message it is; may be left out while there is only one." placeholder:"NAME"`
	Stream     string `help:"Stream, if the message names none." placeholder:"NAME"`
	Recipient  string `help:"Reader." default:"reader@example.com" placeholder:"ADDRESS"`
	Credential string `help:"Credential that would hand it in: its vendor headers are understood." placeholder:"USERNAME"`
	Config     string `help:"Configuration file." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

// Run prints the message to standard output and what was done to it beside
// that, so that the message can go on to a file; with --json only the latter.
func (c trackingRewriteCommand) Run(e *environment) error {
	message, err := e.read(c.File)
	if err != nil {
		return err
	}
	if len(message) == 0 {
		return errors.New("the message is empty")
	}
	run, err := daemon.RunDry(e.ctx, c.Config, daemon.DryRunOptions{
		Tenant: c.Tenant, Stream: c.Stream, Credential: c.Credential, Recipient: c.Recipient, Message: message,
	})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(run)
	}
	if _, err := e.out.Write(run.Message); err != nil {
		return err
	}
	showDryRun(e.errors, run)
	return nil
}

// read returns the content of a file, or of standard input.
func (e *environment) read(file string) ([]byte, error) {
	if file == "" || file == "-" {
		return io.ReadAll(e.in)
	}
	return os.ReadFile(file)
}

func showDryRun(w io.Writer, r *daemon.DryRun) {
	fmt.Fprintf(w, "tenant %s, stream %s, measured: %s, kept: %s\n", r.Tenant, r.Stream, r.Track, r.Measure)
	if r.Tracker != "" {
		fmt.Fprintf(w, "tracker %s\n", r.Tracker)
	}
	if r.UTM != "" {
		fmt.Fprintf(w, "parameters %s\n", r.UTM)
	}
	if r.Note != "" {
		fmt.Fprintln(w, r.Note)
	}
	if r.Untouched != "" {
		fmt.Fprintf(w, "left as it is: %s\n", r.Untouched)
	}
	for _, l := range r.Links {
		fmt.Fprintf(w, "  %s %s\n", outcome(l), shortened(cmp.Or(l.URL, `""`)))
	}
	for _, skip := range r.Skipped {
		fmt.Fprintf(w, "  an HTML part left alone: %s\n", skip)
	}
	if r.ReturnPath != "" {
		fmt.Fprintf(w, "return path %s\n", r.ReturnPath)
	}
	fmt.Fprintf(w, "%s, pixel %s, List-Unsubscribe %s, %d octets became %d; not signed\n",
		count(r.Replaced, "link")+" tracked", added(r.Pixel), added(r.Unsubscribe), r.Submitted, r.Sent)
}

// outcome says in a word or two what became of a link.
func outcome(l daemon.DryRunLink) string {
	switch {
	case l.Kept != "":
		return fmt.Sprintf("kept (%s)", l.Kept)
	case l.Replacement == "":
		return "kept"
	}
	return "replaced"
}

func added(url string) string {
	if url == "" {
		return "not added"
	}
	return "added"
}

// shortened keeps a link on a line of the terminal.
func shortened(url string) string {
	const longest = 100
	url = strings.Join(strings.Fields(url), " ")
	if len(url) > longest {
		return url[:longest] + "..."
	}
	return url
}

type trackingDecodeCommand struct {
	URL    string `arg:"" name:"url" help:"The whole link, as it stands in the mail that was sent."`
	Config string `help:"Configuration file that names the keys." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

func (c trackingDecodeCommand) Run(e *environment) error {
	l, err := offline.DecodeLink(c.Config, c.URL, time.Now())
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(l)
	}
	whose := "of " + strings.Join(l.Tenants, ", ")
	if len(l.Tenants) == 0 {
		whose = "of no tenant in the configuration"
	}
	rows := [][]string{
		{"tracker", l.Tracker + ", " + whose},
		{"kind", l.Kind},
		{"leads to", l.Target},
		{"tenant", l.Tenant},
		{"stream", l.Stream},
		{"campaign", l.Campaign},
		{"address", l.Address},
		{"measure", l.Measure},
		{"message", recipientOf(l)},
		{"accepted", l.Accepted.Format(time.DateTime) + " UTC"},
		{"recorded", recorded(l)},
		{"key", keyInUse(l)},
	}
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(e.out, "%-9s %s\n", row[0], row[1])
		}
	}
	return nil
}

// recipientOf is empty where a link names no recipient.
func recipientOf(l offline.TrackedLink) string {
	if l.Message == "" {
		return ""
	}
	return fmt.Sprintf("%s, recipient %d", l.Message, l.Index)
}

func recorded(l offline.TrackedLink) string {
	if l.Recorded {
		return "yes"
	}
	return "no: the message is too old"
}

func keyInUse(l offline.TrackedLink) string {
	if l.Key == l.Active {
		return fmt.Sprintf("%d, the active one", l.Key)
	}
	return fmt.Sprintf("%d; the active one is %d", l.Key, l.Active)
}

type trackingRotateCommand struct {
	Config string `help:"Configuration file that names the keys." default:"/etc/postrider/postrider.toml" placeholder:"FILE"`
}

func (c trackingRotateCommand) Run(e *environment) error {
	r, err := offline.RotateTracking(c.Config)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(r)
	}
	fmt.Fprintf(e.out, "%s: key %d is the active one now, %s in all\n", r.File, r.Active, count(r.Keys, "key"))
	fmt.Fprintln(e.out, "run postrider reload to make the running daemon use it; links made with the others work on")
	if few := 8; r.Left < few {
		fmt.Fprintf(e.out, "there is room for %d more: remove the last lines when mail with their links is old enough\n", r.Left)
	}
	return nil
}
