// Bench measures the daemon on this machine alone, and Postfix beside it where
// that is installed: how much mail a second is taken and delivered, and what
// it costs. docs/benchmarks.md says how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command is one of the three programs in this one.
func command(ctx context.Context) error {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case sinkCommand:
			return runSink(os.Stdin, os.Stdout)
		case generateCommand:
			return runGenerator(ctx, os.Stdin, os.Stdout)
		}
	}
	return compare(ctx)
}

// compare is the benchmark.
func compare(ctx context.Context) error {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/postrider", "the daemon to measure")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "a folder on the disk to measure on")
	flag.IntVar(&b.messages, "messages", 20_000, "messages in each measurement")
	flag.IntVar(&b.sessions, "sessions", 50, "sessions that hand them in")
	flag.IntVar(&b.size, "size", 10<<10, "octets of a message")
	flag.DurationVar(&b.timeout, "timeout", 10*time.Minute, "the longest that a measurement may take")
	rounds := flag.Int("rounds", 1, "how often all is measured, the systems in turn")
	peer := flag.Bool("peer", true, "measure Postfix too, where it is installed")
	only := flag.String("jobs", "", "some of the jobs, as plain-1,plain-20,signed-1,signed-20; empty for all")
	flag.Parse()
	var err error
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.messages < 1 || b.sessions < 1 || *rounds < 1 {
		return fmt.Errorf("expected at least one message, session and round")
	}
	return b.compare(ctx, chosen, *rounds, *peer)
}
