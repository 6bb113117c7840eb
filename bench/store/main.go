// Store measures the queue on this machine: what memory a backlog costs the
// daemon, how long a start takes before the first delivery, and what an accept
// and a settle cost beside two plainer ways to keep mail. docs/benchmarks.md
// says how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-store:", err)
		os.Exit(1)
	}
}

// command is one of the two programs in this one.
func command(ctx context.Context) error {
	if len(os.Args) == 2 && os.Args[1] == fillCommand {
		return runFill(ctx, os.Stdin, os.Stdout)
	}
	b := &bench{}
	full := flag.Bool("full", false, "also with 10,000,000 recipients waiting; takes half an hour and 15 GB of disk")
	only := flag.String("only", "", "one part alone: throughput, memory, start or drain")
	flag.StringVar(&b.binary, "binary", "bin/postrider", "the daemon to measure")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "a folder on the disk to measure on")
	flag.IntVar(&b.queues, "queues", 5000, "queues that the recipients are spread over")
	flag.IntVar(&b.operations, "operations", 200_000, "operations in each measurement of the store alone")
	flag.Parse()
	var err error
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "bench-store"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	return b.run(ctx, *only, *full)
}

// bench is what all parts share.
type bench struct {
	binary string
	dir    string
	queues int
	// operations in each measurement of the store alone.
	operations int
	figures    figures
}

func (b *bench) run(ctx context.Context, only string, full bool) error {
	const million = 1_000_000
	sizes := []backlog{{name: "1m", recipients: million, perMessage: 10}}
	if full {
		sizes = append(sizes, backlog{name: "10m", recipients: 10 * million, perMessage: 1000})
	}
	parts := []struct {
		name string
		run  func(context.Context) error
	}{
		{"throughput", b.throughput},
		{"memory", func(ctx context.Context) error { return b.ingests(ctx, sizes) }},
		{"start", func(ctx context.Context) error { return b.starts(ctx, sizes) }},
		{"drain", func(ctx context.Context) error { return b.drain(ctx, million) }},
	}
	for _, part := range parts {
		if only != "" && only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.figures.print(os.Stdout)
}
