// Package peer starts and ends the mail servers that Postrider is measured
// beside: what every benchmark does with them alike.
package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/bench/gauge"
)

// Find returns the path of an installed program; empty where there is none.
// Servers are not in every user's PATH.
func Find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	return ""
}

// AwaitListener waits until somebody listens.
func AwaitListener(ctx context.Context, address string) error {
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

// PostfixServices is the master.cf of a private instance, with the usual
// services, none of them in a jail: a format that takes the address for mail to
// be handed in at.
const PostfixServices = `%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// PostfixMaster returns the process id of the master that has the queue folder,
// which it writes when it starts.
func PostfixMaster(queue string) (int, error) {
	data, err := os.ReadFile(filepath.Join(queue, "pid", "master.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// StopPostfix asks a master to end, which ends its children, and waits until
// all are gone.
func StopPostfix(master int, within time.Duration) error {
	family, err := gauge.Family(master)
	if err != nil {
		return err
	}
	if err := syscall.Kill(master, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop Postfix: %w", err)
	}
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !anyRuns(family) {
			return nil
		}
	}
	return fmt.Errorf("process %d of Postfix did not stop within %v", master, within)
}

// anyRuns leaves out those that have ended and wait for a parent to see it.
func anyRuns(pids []int) bool {
	for _, pid := range pids {
		if gauge.Running(pid) {
			return true
		}
	}
	return false
}
