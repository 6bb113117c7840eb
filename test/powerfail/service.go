package powerfail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/test/harness"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// Service is the work of a real daemon: it takes mail from applications, hands
// it to an exchanger that takes, defers and refuses, answers readers and obeys
// an operator. A configuration has everything happen often.
type Service struct {
	// Binary is the daemon.
	Binary string
	// Messages are what applications hand in, in one life.
	Messages int
	// Campaign is how many letters wait when they are all cancelled.
	Campaign int
	Seed     uint64
}

// patience bounds every wait for the daemon.
const patience = time.Minute

const serviceConfiguration = `hostname = "mail.sender.example"
data_dir = "data"
[log]
level = "info"
[[listener]]
name = "trusted"
address = %q
trusted_networks = ["127.0.0.0/8"]
any_from = true
[queue]
segment_size = "1MB"
checkpoint_interval = "100ms"
checkpoint_size = "256KB"
compact_free_share = 0.1
compact_min_size = "1MB"
min_free = "1MB"
retry_first = "100ms"
retry_max = "300ms"
restart_delay = %q
[delivery]
connections_per_site = 4
recipients_per_transaction = 3
drain_timeout = "5s"
[tracking]
listen = %q
url = "http://%[3]s"
record_window = "10ms"
[admin]
http = %q
[[route]]
match = "*"
via = [%q]
tls = "none"
[[tenant]]
name = "default"
[[tenant.stream]]
name = "marketing"
rate_action = "warn"
`

// place is a daemon's folder: configuration, log, and the folder data.
type place struct{ folder string }

func (p place) data() string          { return filepath.Join(p.folder, "data") }
func (p place) configuration() string { return filepath.Join(p.folder, "postrider.toml") }
func (p place) log() string           { return filepath.Join(p.folder, "postrider.log") }
func (p place) trace() string         { return filepath.Join(p.folder, "trace") }
func (p place) process() string       { return filepath.Join(p.folder, "process") }

// newPlace makes a folder whose data begin as an image.
func newPlace(begin disk.Image, scratch string) (place, error) {
	folder, err := os.MkdirTemp(scratch, "daemon")
	if err != nil {
		return place{}, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return place{}, err
	}
	p := place{folder}
	if err := os.Mkdir(p.data(), 0o700); err != nil {
		return p, err
	}
	return p, begin.Store(p.data())
}

// configure writes the configuration. Mail goes to the exchanger; after a crash
// what was due waits for restartDelay.
func (p place) configure(exchanger, restartDelay string) (submission, tracker string, err error) {
	free, err := harness.FreeAddresses(3)
	if err != nil {
		return "", "", err
	}
	text := fmt.Sprintf(serviceConfiguration, free[0], restartDelay, free[1], free[2], exchanger)
	return free[0], free[1], os.WriteFile(p.configuration(), []byte(text), 0o600)
}

// record implements subject.
func (s *Service) record(ctx context.Context, r recording) ([]disk.Step, error) {
	p, err := newPlace(r.begin, r.scratch)
	if err != nil {
		return nil, err
	}
	w := newWorld(r.firstNumber, s.Seed+uint64(r.number))
	defer w.close()
	if err := s.live(ctx, p, w); err != nil {
		log, _ := os.ReadFile(p.log())
		return nil, fmt.Errorf("%w\n%s", err, log[max(0, len(log)-3000):])
	}
	trace, err := os.Open(p.trace())
	if err != nil {
		return nil, err
	}
	steps, err := disk.ReadTrace(trace, p.data(), r.begin, -1)
	if err = errors.Join(err, trace.Close(), os.RemoveAll(p.folder)); err != nil {
		return nil, err
	}
	return overhear(steps, w.requests(), w.lastNumber())
}

// group implements subject. Groups of so many are not seen under so few
// applications.
func (s *Service) group() int { return 64 }

// live runs the daemon from its start to its orderly end.
func (s *Service) live(ctx context.Context, p place, w *world) error {
	exchanger, err := w.exchange()
	if err != nil {
		return err
	}
	submission, tracker, err := p.configure(exchanger, "0s")
	if err != nil {
		return err
	}
	program, err := s.startTraced(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	err = p.await(ctx, program)
	if err == nil {
		l := &load{world: w, service: s, submission: submission, tracker: tracker, socket: filepath.Join(p.data(), "admin.sock")}
		err = l.run(ctx)
	}
	return errors.Join(err, p.stop(program))
}

// startTraced starts the daemon under strace. A shell in between tells its
// process id, since strace passes no signals on.
func (s *Service) startTraced(p place) (*harness.Program, error) {
	arguments := append(straceArguments(p.trace()), "env", "GODEBUG=asyncpreemptoff=1",
		"sh", "-c", `echo $$ > "$0" && exec "$1" serve --config "$2"`, p.process(), s.Binary, p.configuration())
	return harness.Start("strace", p.log(), arguments...)
}

// await waits until the daemon answers.
func (p place) await(ctx context.Context, program *harness.Program) error {
	client := socketClient(filepath.Join(p.data(), "admin.sock"))
	defer client.CloseIdleConnections()
	for {
		response, err := client.Get("http://postrider/v1/version")
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			err = errors.Join(err, response.Body.Close())
		}
		if err == nil && response.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-program.Exited():
			return errors.New("the daemon has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the daemon in order.
func (p place) stop(program *harness.Program) error {
	text, err := os.ReadFile(p.process())
	if err != nil {
		program.Kill()
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGTERM)
	}
	if err != nil {
		program.Kill()
		return err
	}
	if err := program.Wait(patience); err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // should strace have left it behind
		return fmt.Errorf("the daemon did not end well: %w", err)
	}
	return nil
}

// Build makes the daemon's binary in a folder.
func Build(ctx context.Context, folder string) (string, error) {
	binary := filepath.Join(folder, "postrider")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/postrider-mta/postrider/cmd/postrider")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
}
