// Postrider is an SMTP delivery daemon for people who send mail as their
// business. This command runs it, talks to it, and helps to set it up.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
)

// version is what is being made, or was released from this source.
const version = "0.1.0-dev"

// main lets the first signal end the command in order. From the moment that
// begins nobody catches a second one, so that it ends the process at once.
func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	cancel()
	os.Exit(status)
}

// commands are the subcommands, a file each.
type commands struct {
	Socket string `help:"Admin socket of the running daemon." default:"/var/lib/postrider/admin.sock" env:"POSTRIDER_SOCKET" placeholder:"PATH"`
	JSON   bool   `help:"Print JSON." name:"json"`

	Serve        serveCommand        `cmd:"" help:"Run the daemon."`
	Reload       reloadCommand       `cmd:"" help:"Make the running daemon read its configuration again."`
	Send         sendCommand         `cmd:"" help:"Hand a message to the running daemon."`
	Queue        queueCommand        `cmd:"" help:"Look at what is waiting, and change it."`
	Why          whyCommand          `cmd:"" help:"Say why recipients are still waiting and when they are tried."`
	Sites        sitesCommand        `cmd:"" help:"List destination sites with their connections and throttles."`
	Site         siteCommand         `cmd:"" help:"Show one site: its limits, routes, connections and throttles."`
	Sources      sourcesCommand      `cmd:"" help:"See the local ends that mail leaves from."`
	Trace        traceCommand        `cmd:"" help:"Watch the SMTP dialogue with a site, over connections opened from now on."`
	Throttles    throttlesCommand    `cmd:"" help:"See and lift what slows sites down."`
	Route        routeCommand        `cmd:"" help:"Show how mail for an address leaves."`
	Classify     classifyCommand     `cmd:"" help:"Say what SMTP replies mean, a JSON object for each line of standard input."`
	Bounce       bounceCommand       `cmd:"" help:"Read what came back for mail that was sent."`
	CheckMessage checkMessageCommand `cmd:"" name:"check-message" help:"Hold a message against the rules for bulk mail. Nothing is sent."`
	Events       eventsCommand       `cmd:"" help:"Read what happened."`
	Stats        statsCommand        `cmd:"" help:"Show what was counted: mail, opens, clicks, unsubscribes and complaints."`
	Rates        ratesCommand        `cmd:"" help:"Show which shares of the mail bounced or were complained about, and what followed."`
	Suppress     suppressCommand     `cmd:"" help:"See and change who is not mailed."`
	Consent      consentCommand      `cmd:"" help:"See and change what readers allow to be measured."`
	Privacy      privacyCommand      `cmd:"" help:"Find, export, rectify or erase what is kept of one person."`
	Store        storeCommand        `cmd:"" help:"Check and repair the queue's files, while no daemon runs."`
	Tracking     trackingCommand     `cmd:"" help:"Try out and read tracked links, and change their key."`
	Config       configCommand       `cmd:"" help:"Check a configuration file."`
	Password     passwordCommand     `cmd:"" help:"Hash a credential's password, read from standard input."`
	DKIM         dkimCommand         `cmd:"" name:"dkim" help:"Make DKIM keys and check their DNS records."`
	Sink         sinkCommand         `cmd:"" help:"Run a black-hole mail exchanger for tests and demonstrations."`
	Version      versionCommand      `cmd:"" help:"Print the version of this program and of the running daemon."`
}

// environment is what a subcommand works with.
type environment struct {
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	errors io.Writer
	socket string
	json   bool
}

// client connects to the running daemon.
func (e *environment) client() *api.Client { return api.NewClient(e.socket) }

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errorOutput io.Writer) int {
	var c commands
	exited, status := false, 0
	parser, err := kong.New(&c,
		kong.Name("postrider"),
		kong.Description("An SMTP delivery daemon for people who send mail as their business."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(printHelp(out)),
		kong.Writers(out, errorOutput),
		kong.Exit(func(code int) { exited, status = true, code }),
	)
	if err != nil {
		fmt.Fprintln(errorOutput, "postrider:", err)
		return exitFailure
	}
	parsed, err := parser.Parse(args)
	if exited { // --help
		return status
	}
	if err != nil {
		fmt.Fprintln(errorOutput, "postrider:", err)
		return exitUsage
	}
	env := &environment{ctx: ctx, in: in, out: out, errors: errorOutput, socket: c.Socket, json: c.JSON}
	err = parsed.Run(env)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		fmt.Fprintln(errorOutput, "postrider: interrupted: what was asked for may be done in part")
	default:
		fmt.Fprintln(errorOutput, "postrider:", err)
	}
	return exitFailure
}
