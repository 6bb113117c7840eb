package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
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
		r.master, _ = r.readMaster() // none if it was never started
	}
	if r.master != 0 {
		errs = append(errs, end(r.master))
	}
	if r.signer != nil {
		errs = append(errs, r.signer.Stop(stopTime))
	}
	return errors.Join(errs...)
}

// end asks the master to end, which ends its children, and waits until all are
// gone.
func end(master int) error {
	family, err := gauge.Family(master)
	if err != nil {
		return err
	}
	if err := syscall.Kill(master, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop Postfix: %w", err)
	}
	for deadline := time.Now().Add(stopTime); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !alive(family) {
			return nil
		}
	}
	return fmt.Errorf("process %d of Postfix did not stop within %v", master, stopTime)
}

// alive leaves out those that have ended and wait for a parent to see it.
func alive(pids []int) bool {
	for _, pid := range pids {
		if gauge.Running(pid) {
			return true
		}
	}
	return false
}

// readMaster returns the master's process id, which it writes when it starts.
func (r *postfixRun) readMaster() (int, error) {
	data, err := os.ReadFile(filepath.Join(r.queue, "pid", "master.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// awaitListener waits until somebody listens.
func awaitListener(ctx context.Context, address string) error {
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody answers at %s: %w", address, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
