// Demo runs the daemon's main job on this machine alone: a newsletter goes in
// over SMTP, is signed and measured, meets mail exchangers that take, delay
// and refuse it, and its readers open, click and unsubscribe. The report's
// last line adds up, or the exit status says that it does not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/test/harness"
)

// deadline of the whole demonstration.
const deadline = 2 * time.Minute

func main() {
	binary := flag.String("binary", "bin/postrider", "the program to run")
	keep := flag.Bool("keep", false, "keep the folder with configuration, logs and mail")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, deadline)
	err := run(ctx, *binary, *keep)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, keep bool) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "postrider-demo-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("keeping", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	w, err := newWorld(ctx, binary, dir)
	if err != nil {
		return err
	}
	defer w.close()

	daemon, err := harness.Serve(ctx, binary, dir, w.configuration)
	if err != nil {
		return err
	}
	defer daemon.Kill()
	d := &demonstration{world: w, daemon: daemon}
	report, err := d.run(ctx)
	if err != nil {
		return err
	}
	if err := daemon.Stop(30 * time.Second); err != nil {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	fmt.Println(report.line())
	return report.check()
}
