// Tracking measures on this machine what it costs to rewrite messages and to
// answer tracked links, the latter beside a handler that does nothing but
// redirect. docs/benchmarks.md says how to read it.
package main

import (
	"context"
	"errors"
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
		fmt.Fprintln(os.Stderr, "bench-tracking:", err)
		os.Exit(1)
	}
}

// command is one of the two programs in this one.
func command(ctx context.Context) error {
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		return serveBare(ctx, os.Args[2])
	}
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/postrider", "the daemon to measure")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "a folder on the disk to measure on")
	flag.StringVar(&b.templates, "templates", "", "a folder of HTML templates; found beside the module, or made up, if empty")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds, in which tracker and bare handler take turns")
	flag.DurationVar(&b.each, "each", 4*time.Second, "the length of a turn")
	flag.IntVar(&b.connections, "connections", 50, "connections that ask at once")
	flag.IntVar(&b.links, "links", 20_000, "links asked for, each of another reader")
	flag.Parse()
	if b.rounds < 1 || b.each <= 0 || b.connections < 1 || b.links < 1 {
		return errors.New("rounds, each, connections and links must be above 0")
	}
	var err error
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "bench-tracking"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	return b.run(ctx)
}

// bench is what all parts share.
type bench struct {
	binary, dir, templates     string
	rounds, connections, links int
	each                       time.Duration
}

func (b *bench) run(ctx context.Context) error {
	var f figures
	templates, err := readTemplates(b.templates)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench-tracking: rewriting %s\n", templates)
	if f.rewriting, err = measureRewriting(templates); err != nil {
		return err
	}
	if err := b.requests(ctx, &f); err != nil {
		return err
	}
	return f.print(os.Stdout)
}
