package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

const (
	// kills is how often the daemon is killed where POSTRIDER_KILLS does not
	// say.
	kills    = 4
	sessions = 6
	// segments bounds the journal of a drained queue.
	segments = 4
)

// acknowledged is a message that the daemon said it has.
type acknowledged struct{ id, unique string }

// load is several applications that hand in mail without a pause, whatever
// happens to the daemon.
type load struct {
	w        *world
	sessions sync.WaitGroup
	stop     chan struct{}
	count    atomic.Int64

	mu       sync.Mutex
	messages []acknowledged
	// wrong is the first answer that no application should get.
	wrong error
}

func startLoad(w *world) *load {
	l := &load{w: w, stop: make(chan struct{})}
	for session := range sessions {
		l.sessions.Go(func() { l.run(session) })
	}
	return l
}

// finish ends the sessions and returns what was acknowledged.
func (l *load) finish() []acknowledged {
	close(l.stop)
	l.sessions.Wait()
	return l.messages
}

func (l *load) run(session int) {
	var c *client
	for number := 0; ; number++ {
		select {
		case <-l.stop:
			if c != nil {
				c.conn.Close()
			}
			return
		default:
		}
		if c == nil {
			var err error
			if c, err = dial("tcp", l.w.submission); err != nil {
				c = nil
				continue
			}
		}
		unique := fmt.Sprintf("%d-%d", session, number)
		id, err := c.send(sender, recipients(unique), []byte(letter("X-Unique: "+unique)))
		if err != nil {
			l.failed(err)
			c.conn.Close()
			c = nil
			continue
		}
		l.acknowledge(acknowledged{id, unique})
	}
}

// recipients of one message: two share a site, and one has another.
func recipients(unique string) []string {
	return []string{"a" + unique + "@one.example", "b" + unique + "@one.example", "c" + unique + "@two.example"}
}

func (l *load) acknowledge(a acknowledged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, a)
	l.count.Add(1)
}

// failed notes an answer; an end of the connection is what a kill looks like.
func (l *load) failed(err error) {
	if replyCode(err)/100 != 5 && !errors.Is(err, errID) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil {
		l.wrong = err
	}
}

// arrivals counts how often each message reached each recipient.
type arrivals struct {
	mu    sync.Mutex
	count map[string]int
}

var uniqueLine = regexp.MustCompile(`(?m)^X-Unique: ([0-9-]+)\r$`)

func (a *arrivals) add(m *testmx.Message) error {
	unique := uniqueLine.FindSubmatch(m.Data)
	if unique == nil {
		return errors.New("not a message of this test")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, recipient := range m.Recipients {
		a.count[string(unique[1])+" "+recipient.Address]++
	}
	return nil
}

func TestNothingAcknowledgedIsLostByKills(t *testing.T) {
	rounds := kills
	if text := os.Getenv("POSTRIDER_KILLS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("POSTRIDER_KILLS: %v", err)
		}
	}
	w := newWorld(t)
	w.ctx = t.Context() // as long as the rounds take
	arrived := &arrivals{count: map[string]int{}}
	later := testmx.Rule{Command: testmx.RCPT, Probability: 0.05, Action: testmx.Action{Reply: "451 4.3.2 later"}}
	w.domain("one.example", testmx.Options{OnMessage: arrived.add, Rules: []testmx.Rule{later}})
	w.domain("two.example", testmx.Options{OnMessage: arrived.add})
	w.start(settings{queue: quick + "segment_size = \"1MB\"\ncheckpoint_interval = \"200ms\"\ncheckpoint_size = \"256KB\"\n"})

	l := startLoad(w)
	for round := range rounds {
		enough := l.count.Load() + rand.Int64N(400)
		w.await(fmt.Sprintf("round %d has its load", round), func() bool { return l.count.Load() > enough })
		w.daemon.Kill()
		if round%2 == 1 {
			w.killWhileStarting()
		}
		w.restart()
	}
	messages := l.finish()
	w.settled()
	if l.wrong != nil {
		t.Errorf("an application was told: %v", l.wrong)
	}
	duplicates := w.checkArrived(messages, arrived)
	events := w.checkEvents(messages)
	w.await("the journal is short", func() bool {
		files, err := filepath.Glob(filepath.Join(w.dir, "data", "journal", "*"))
		return err == nil && len(files) <= segments
	})
	if !t.Failed() {
		fmt.Printf("kill: kills=%d acknowledged=%d delivered=%d twice=%d events=%d lost=0\n",
			rounds, len(messages), len(arrived.count), duplicates, events)
	}
}

// killWhileStarting has the next process end somewhere on its way up.
func (w *world) killWhileStarting() {
	w.Helper()
	program, err := harness.Start(suite.binary, w.daemon.LogFile(), "serve", "--config", w.daemon.ConfigFile())
	if err != nil {
		w.Fatal(err)
	}
	select {
	case <-program.Exited():
		w.Error("the daemon ended by itself, on its way up")
	case <-time.After(rand.N(200 * time.Millisecond)):
	}
	program.Kill()
}

// checkArrived compares what was acknowledged with what mail exchangers got,
// and counts what came more than once.
func (w *world) checkArrived(messages []acknowledged, arrived *arrivals) (duplicates int) {
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	for _, m := range messages {
		for _, recipient := range recipients(m.unique) {
			if arrived.count[m.unique+" "+recipient] == 0 {
				w.Errorf("lost: message %s (%s) never reached recipient %s", m.id, m.unique, recipient[:1])
			}
		}
	}
	for _, n := range arrived.count {
		duplicates += n - 1
	}
	return duplicates
}

// fate is what the events say of one recipient.
type fate struct {
	accepted, final int
	last            event.Type
}

// checkEvents looks for the story of each recipient: accepted once, then ended
// once, also for messages whose acknowledgement a kill cut off.
func (w *world) checkEvents(messages []acknowledged) int {
	w.Helper()
	var all []event.Event
	w.await("every accepted recipient has an end", func() bool {
		all = w.events()
		open := 0
		for _, e := range all {
			if e.Type == event.Accepted {
				open++
			} else if final(e.Type) {
				open--
			}
		}
		return open <= 0
	})
	fates := map[string]*fate{}
	ids := map[string]bool{}
	for _, e := range all {
		if ids[e.ID] {
			w.Errorf("two events have the id %s", e.ID)
		}
		ids[e.ID] = true
		recipient := fmt.Sprintf("%s/%d", e.Message, e.Index)
		if fates[recipient] == nil {
			fates[recipient] = &fate{}
		}
		f := fates[recipient]
		switch {
		case e.Type == event.Accepted:
			f.accepted++
		case f.accepted == 0:
			w.Errorf("%s is %s before it is accepted", recipient, e.Type)
		case f.final > 0:
			w.Errorf("%s is %s after it was %s", recipient, e.Type, f.last)
		}
		if final(e.Type) {
			f.final, f.last = f.final+1, e.Type
		}
	}
	for recipient, f := range fates {
		if f.accepted != 1 || f.final != 1 || f.last != event.Delivered {
			w.Errorf("%s: accepted %d times, ended %d times, at last %q", recipient, f.accepted, f.final, f.last)
		}
	}
	for _, m := range messages {
		for index := range recipients(m.unique) {
			if fates[fmt.Sprintf("%s/%d", m.id, index)] == nil {
				w.Errorf("no event tells of message %s", m.id)
			}
		}
	}
	return len(all)
}
