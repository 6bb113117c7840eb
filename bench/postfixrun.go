package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
	"github.com/postrider-mta/postrider/bench/peer"
	"github.com/postrider-mta/postrider/test/harness"
)

// postfixRun is one instance with its signing milter.
type postfixRun struct {
	submission, queue string
	master            int
	signer            *harness.Program
}

func (r *postfixRun) address() string { return r.submission }

// processes are the master's and the milter's.
func (r *postfixRun) processes() []int {
	all, err := gauge.Family(r.master)
	if err != nil {
		all = []int{r.master}
	}
	if r.signer != nil {
		all = append(all, r.signer.PID())
	}
	return all
}

// settled waits until the queue has no file.
func (r *postfixRun) settled(ctx context.Context) error {
	for {
		n := 0
		for _, name := range []string{"incoming", "active", "deferred"} {
			n += files(filepath.Join(r.queue, name))
		}
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d messages still wait in Postfix: %w", n, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// files counts them; one that goes meanwhile may count or not.
func files(dir string) int {
	n := 0
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

// stop ends the processes that this instance started, by their ids.
func (r *postfixRun) stop() error {
	var errs []error
	if r.master == 0 {
		r.master, _ = peer.PostfixMaster(r.queue) // none if it was never started
	}
	if r.master != 0 {
		errs = append(errs, peer.StopPostfix(r.master, stopTime))
	}
	if r.signer != nil {
		errs = append(errs, r.signer.Stop(stopTime))
	}
	return errors.Join(errs...)
}
