// Package harness runs the real binary: it makes a world of fake name servers
// and sinks around it on loopback, starts it, stops it, kills it, and asks it
// what it did. The demonstration, the end-to-end tests and the benchmarks
// stand on it.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// Program is one running process of the binary.
type Program struct {
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
	once   sync.Once
	err    error
}

// Start runs binary with arguments, its output going to the log file.
func Start(binary, logFile string, arguments ...string) (*Program, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	p := &Program{cmd: cmd, log: log, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		log.Close()
		close(p.exited)
	}()
	return p, nil
}

// PID is the process id.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Stop asks the process to end and waits; after the time-out it is killed,
// which is an error.
func (p *Program) Stop(timeout time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.Wait(timeout)
}

// Wait waits for the end and returns how the process ended; after the time-out
// it is killed, which is an error.
func (p *Program) Wait(timeout time.Duration) error {
	select {
	case <-p.exited:
		return p.err
	case <-time.After(timeout):
		p.Kill()
		return fmt.Errorf("%s did not stop within %v", filepath.Base(p.cmd.Path), timeout)
	}
}

// Kill ends the process as a power failure would end it, and waits.
func (p *Program) Kill() {
	p.once.Do(func() { _ = p.cmd.Process.Kill() })
	<-p.exited
}

// Signal sends a signal.
func (p *Program) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Daemon is a running postrider serve with its folder.
type Daemon struct {
	*Program
	// Dir holds the configuration, the data and the log.
	Dir    string
	binary string
}

// ConfigFile is the path of the daemon's configuration.
func (d *Daemon) ConfigFile() string { return filepath.Join(d.Dir, "postrider.toml") }

// LogFile is the path of the daemon's log.
func (d *Daemon) LogFile() string { return filepath.Join(d.Dir, "postrider.log") }

// Client asks the daemon over its socket, which is admin.sock in the folder
// data.
func (d *Daemon) Client() *api.Client { return api.NewClient(d.Socket()) }

// Socket is the path of the admin socket.
func (d *Daemon) Socket() string { return filepath.Join(d.Dir, "data", "admin.sock") }

// Serve writes the configuration into dir, starts the daemon there and waits
// until it answers.
func Serve(ctx context.Context, binary, dir, configuration string) (*Daemon, error) {
	d := &Daemon{Dir: dir, binary: binary}
	if err := os.WriteFile(d.ConfigFile(), []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	if err := d.Restart(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Restart starts the daemon again after it has ended. It refuses while it runs:
// the old one would answer for the new one, which the lock ends.
func (d *Daemon) Restart(ctx context.Context) error {
	if d.Program != nil {
		select {
		case <-d.Exited():
		default:
			return errors.New("the daemon is to start again and has not ended")
		}
	}
	program, err := Start(d.binary, d.LogFile(), "serve", "--config", d.ConfigFile())
	if err != nil {
		return err
	}
	d.Program = program
	return d.waitReady(ctx)
}

func (d *Daemon) waitReady(ctx context.Context) error {
	client := d.Client()
	defer client.Close()
	for {
		if _, err := client.Version(ctx); err == nil {
			return nil
		}
		select {
		case <-d.Exited():
			log, _ := os.ReadFile(d.LogFile())
			return fmt.Errorf("the daemon ended at once:\n%s", log)
		case <-ctx.Done():
			d.Kill()
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Settled waits until nothing is owed any more.
func (d *Daemon) Settled(ctx context.Context) error {
	client := d.Client()
	defer client.Close()
	for {
		queues, err := client.Queues(ctx)
		if err != nil {
			return err
		}
		if queues.Recipients == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d recipients still wait: %w", queues.Recipients, ctx.Err())
		case <-d.Exited():
			return errors.New("the daemon has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Run executes the binary's command against the daemon and returns what it
// printed.
func (d *Daemon) Run(ctx context.Context, arguments ...string) (string, error) {
	return Run(ctx, d.binary, append([]string{"--socket", d.Socket()}, arguments...)...)
}

// Run executes binary and returns what it printed.
func Run(ctx context.Context, binary string, arguments ...string) (string, error) {
	return RunInput(ctx, "", binary, arguments...)
}

// RunInput executes binary with input to read and returns what it printed.
func RunInput(ctx context.Context, input, binary string, arguments ...string) (string, error) {
	var out, failure strings.Builder
	cmd := exec.CommandContext(ctx, binary, arguments...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("postrider %s: %w: %s", strings.Join(arguments, " "), err, failure.String())
	}
	return out.String(), nil
}

// FreeAddresses returns n addresses on 127.0.0.1 that nobody listens on now.
func FreeAddresses(n int) ([]string, error) { return FreeAddressesAt("127.0.0.1", n) }

// FreeAddressesAt returns n addresses on a host that nobody listens on now. On
// a loopback address of one's own they stay free: the system gives connections
// ports of 127.0.0.1.
func FreeAddressesAt(host string, n int) ([]string, error) {
	var addresses []string
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// Browser returns an HTTP client that follows no redirect, so that a test sees
// where one leads. It calls itself Firefox unless the request says otherwise.
func Browser() *http.Client {
	return &http.Client{
		Transport:     reader{},
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reader sends what a person's browser does.
type reader struct{}

func (reader) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("User-Agent") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	}
	return http.DefaultTransport.RoundTrip(r)
}
