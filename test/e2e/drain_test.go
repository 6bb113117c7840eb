package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
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

// The crowd that is in flight when the daemon is stopped: one transaction for
// each domain, since a new site gets few at once.
const (
	crowdDomains    = 60
	crowdRecipients = 50
)

// crowd is mail exchangers that answer a message when the test lets them: those
// with an even number when it is released, the others when it is over.
type crowd struct {
	begun          chan struct{}
	released, over chan struct{}

	mu sync.Mutex
	// tries counts how often each message came.
	tries map[string]int
}

func (c *crowd) take(m *testmx.Message) error {
	unique := uniqueLine.FindSubmatch(m.Data)
	if unique == nil {
		return errors.New("not a message of this test")
	}
	name := string(unique[1])
	c.mu.Lock()
	c.tries[name]++
	c.mu.Unlock()
	c.begun <- struct{}{}
	if prompt(name) {
		<-c.released
	} else {
		<-c.over
	}
	return nil
}

// prompt reports whether a message is one that is answered before the deadline.
func prompt(unique string) bool { return (unique[len(unique)-1]-'0')%2 == 0 }

// TestStopWithThousandsInFlight stops the daemon while 3,000 recipients are in
// the middle of their transactions. Half are answered within the deadline, and
// must not be sent again; half are not, and must not be lost.
func TestStopWithThousandsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &crowd{
		begun: make(chan struct{}, 10*crowdDomains), released: make(chan struct{}), over: make(chan struct{}),
		tries: map[string]int{},
	}
	for n := range crowdDomains {
		w.domain(fmt.Sprintf("crowd%d.example", n), testmx.Options{OnMessage: c.take})
	}
	// The servers end only when nobody waits any more.
	release, finish := sync.OnceFunc(func() { close(c.released) }), sync.OnceFunc(func() { close(c.over) })
	t.Cleanup(release)
	t.Cleanup(finish)
	w.start(settings{delivery: "drain_timeout = \"5s\"\n"})
	w.handCrowd()
	for range crowdDomains {
		w.arrives("all transactions", c.begun)
	}
	if err := w.daemon.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.await("the daemon has heard it", func() bool { return strings.Contains(w.log(), "msg=stopping") })
	release()
	if err := w.daemon.Wait(patience); err != nil {
		t.Fatalf("after a stop at the deadline: %v", err)
	}
	finish()
	w.restart()
	w.settled()
	w.checkCrowd(c)
}

// handCrowd hands in a message for each domain, on connections of their own.
func (w *world) handCrowd() {
	w.Helper()
	var group sync.WaitGroup
	errs := make(chan error, crowdDomains)
	for domain := range crowdDomains {
		group.Go(func() { errs <- w.handDomain(domain) })
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) handDomain(domain int) error {
	application, err := dial("tcp", w.submission)
	if err != nil {
		return err
	}
	defer application.conn.Close()
	var to []string
	for reader := range crowdRecipients {
		to = append(to, fmt.Sprintf("r%d@crowd%d.example", reader, domain))
	}
	_, err = application.send(sender, to, []byte(letter(fmt.Sprintf("X-Unique: 0-%d", domain))))
	return err
}

// checkCrowd looks for what came twice or not at all.
func (w *world) checkCrowd(c *crowd) {
	w.Helper()
	delivered := map[string]int{}
	w.await("every recipient has an end", func() bool {
		clear(delivered)
		for _, e := range w.events() {
			if e.Type == event.Delivered {
				delivered[e.Recipient]++
			} else if final(e.Type) {
				w.Fatalf("%s of %s is %s", e.Message, e.Recipient, e.Type)
			}
		}
		return len(delivered) == crowdDomains*crowdRecipients
	})
	for recipient, n := range delivered {
		if n != 1 {
			w.Errorf("%s has %d ends", recipient, n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for unique, n := range c.tries {
		if want := 1; prompt(unique) && n != want {
			w.Errorf("message %s was answered and came %d times", unique, n)
		} else if !prompt(unique) && n != want+1 {
			w.Errorf("message %s was not answered and came %d times", unique, n)
		}
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
