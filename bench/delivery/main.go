// Delivery measures how the daemon sends: over one connection to servers at a
// distance, to few and many destinations, with many sites known, and after a
// pause. docs/benchmarks.md says how to read it.
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
		fmt.Fprintln(os.Stderr, "bench-delivery:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context) error {
	b := &bench{}
	only := flag.String("only", "", "one part alone: trips, domains, sites or resume")
	flag.StringVar(&b.binary, "binary", "bin/postrider", "the daemon to measure")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "a folder for the queues")
	flag.BoolVar(&b.peer, "peer", true, "measure Postfix too, where it is installed")
	flag.IntVar(&b.messages, "messages", 20_000, "messages to the destinations of the second part and third part")
	flag.DurationVar(&b.span, "span", 5*time.Second, "how long each rate of the first part is measured")
	flag.Parse()
	var err error
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.dir, "bench-delivery"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil { // the peer works as another user
		return err
	}
	return b.run(ctx, *only)
}

// bench is what all parts share.
type bench struct {
	binary, dir string
	peer        bool
	messages    int
	span        time.Duration
	figures     figures
}

func (b *bench) run(ctx context.Context, only string) error {
	parts := []struct {
		name string
		run  func(context.Context) error
	}{
		{"trips", b.trips},
		{"domains", b.domains},
		{"sites", b.sites},
		{"resume", b.resume},
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

// progress tells a waiting reader what is being measured.
func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "bench-delivery: "+format+"\n", values...)
}

// folder makes one for a single measurement.
func (b *bench) folder() (string, error) {
	dir, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
