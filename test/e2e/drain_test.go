package e2e

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// slowExchanger takes a message and answers when the test lets it.
type slowExchanger struct {
	*testmx.Server
	begun, release chan struct{}
}

func (w *world) slow(domain string) *slowExchanger {
	w.Helper()
	s := &slowExchanger{begun: make(chan struct{}, 10), release: make(chan struct{})}
	s.Server = w.domain(domain, testmx.Options{OnMessage: func(*testmx.Message) error {
		s.begun <- struct{}{}
		select {
		case <-s.release:
		case <-w.ctx.Done():
		}
		return nil
	}})
	return s
}

// arrives waits for something that another goroutine brings about.
func (w *world) arrives(what string, signal <-chan struct{}) {
	w.Helper()
	select {
	case <-signal:
	case <-w.ctx.Done():
		w.Fatalf("waited in vain for %s", what)
	}
}

func TestStopLetsTransactionsEndAndSendsNothingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.slow("slow.example")
	w.start(settings{})
	id := w.hand(letter(), "reader@slow.example")
	w.arrives("the transaction", mx.begun)
	if err := w.daemon.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.await("new mail is refused", func() bool {
		c, err := dial("tcp", w.submission)
		if err == nil {
			c.conn.Close()
		}
		return err != nil
	})
	select {
	case <-w.daemon.Exited():
		t.Fatal("the daemon did not wait for its transaction")
	default:
	}
	close(mx.release)
	if err := w.daemon.Wait(patience); err != nil {
		t.Fatalf("after an orderly stop: %v", err)
	}
	w.restart()
	w.settled()
	w.awaitEvent(id, event.Delivered)
	if history := types(w.history(id)); history != "[accepted delivered]" || len(mx.Messages()) != 1 {
		t.Errorf("%s, and it arrived %d times", history, len(mx.Messages()))
	}
}

func TestSecondSignalStopsAtOnceAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.slow("slow.example")
	w.start(settings{})
	id := w.hand(letter(), "reader@slow.example")
	w.arrives("the transaction", mx.begun)
	for _, sign := range []string{"msg=stopping", ""} {
		if err := w.daemon.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		w.await("the daemon has heard it", func() bool { return strings.Contains(w.log(), sign) })
	}
	w.arrives("the end of the process", w.daemon.Exited())
	close(mx.release)
	w.restart()
	w.awaitEvent(id, event.Delivered)
}

func TestOneDataFolderHasOneDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(settings{})
	// The same file, so the same everything; and one that shares only the data.
	other := newWorld(t)
	second := other.configuration(settings{dataDir: w.dir + "/data"})
	for name, configuration := range map[string]string{"same": w.configuration(settings{}), "data": second} {
		file := w.write(name+".toml", configuration)
		_, err := harness.Run(w.ctx, suite.binary, "serve", "--config", file)
		if status(err) != 1 || !strings.Contains(err.Error(), "in use by another daemon") {
			t.Errorf("%s: status %d: %v", name, status(err), err)
		}
	}
	w.run("version")
}

// status is a command's exit status.
func status(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

func TestWrongUsageIsToldApart(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"sevre"}, {"serve", "--confg", "x"}, {"queue"}, {"queue", "show", "--limit", "many"}, {"config", "check"}, {}} {
		_, err := harness.Run(t.Context(), suite.binary, arguments...)
		if status(err) != 2 || !strings.Contains(err.Error(), "postrider:") {
			t.Errorf("postrider %s: status %d, %v", strings.Join(arguments, " "), status(err), err)
		}
	}
	absent := []string{"--socket", t.TempDir() + "/none.sock"}
	for _, arguments := range [][]string{{"queue", "list"}, {"reload"}, {"events", "tail"}, {"sites"}} {
		_, err := harness.Run(t.Context(), suite.binary, slices.Concat(absent, arguments)...)
		if status(err) != 1 || !strings.Contains(err.Error(), "no daemon answers") {
			t.Errorf("postrider %s without a daemon: status %d, %v", strings.Join(arguments, " "), status(err), err)
		}
	}
}
