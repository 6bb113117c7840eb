package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

const (
	leavers      = 4
	leaverMails  = 150
	mixedReaders = 10
	fillerMails  = 99
	fillerOf     = 1000
	// owed is what is queued when sending begins.
	owed = leaverMails*mixedReaders + fillerMails*fillerOf
)

// leaver is a reader who leaves while their mail is being sent.
type leaver struct {
	mu       sync.Mutex
	link     string
	arrivals []time.Time
}

// arrive notes a message as its server has all of it.
func (l *leaver) arrive(m *testmx.Message) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals = append(l.arrivals, time.Now())
	if found := unsubscribeLink.FindSubmatch(m.Data); found != nil && l.link == "" {
		l.link = string(found[1])
	}
	return len(l.arrivals)
}

// TestNoMailAfterUnsubscribing proves that from the moment the POST is answered
// nothing more is sent to the reader, with 100,000 recipients owed and messages
// to the same reader all through them: none prepared ahead of its connection,
// and none on its way behind others.
func TestNoMailAfterUnsubscribing(t *testing.T) {
	w := newWorld(t)
	all, ready := make([]*leaver, leavers), make(chan int, leavers)
	for n := range all {
		all[n] = &leaver{}
	}
	var arrived atomic.Int64
	w.domain("reader.example", testmx.Options{OnMessage: func(m *testmx.Message) error {
		arrived.Add(1)
		var n int
		if _, err := fmt.Sscanf(m.Recipients[0].Address, "leaver%d@", &n); err == nil && all[n].arrive(m) == 5+n {
			ready <- n
		}
		time.Sleep(20 * time.Millisecond) // so that some always wait behind others
		return nil
	}})
	w.start(settings{rest: dropping, delivery: "connections_per_site = 8\n"})
	held := regexp.MustCompile(`release (\S+)`).FindStringSubmatch(w.run("queue", "hold", "--tenant", "default", "--reason", "until all are there"))
	if held == nil {
		t.Fatal("no hold")
	}
	w.handLeavers()
	w.run("queue", "release", held[1])

	for range all {
		n := <-ready
		l, before := all[n], arrived.Load()
		asked := time.Now()
		response, _ := w.ask(http.MethodPost, l.link, "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click")
		answered := time.Now()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("one-click POST: %s", response.Status)
		}
		l.mu.Lock()
		had := len(l.arrivals)
		l.mu.Unlock()
		t.Logf("leaver %d: %d owed, answered after %v, %d of %d messages had arrived", n, owed-before, answered.Sub(asked).Round(time.Microsecond), had, leaverMails)
		t.Cleanup(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			late := 0
			for _, at := range l.arrivals {
				if at.After(answered) {
					late++
				}
			}
			if late > 0 || len(l.arrivals) == leaverMails {
				t.Errorf("leaver %d: %d messages of %d arrived, %d of them after the POST was answered", n, len(l.arrivals), leaverMails, late)
			}
		})
	}
	w.await("the rest of the leavers' mail is dropped", func() bool {
		sent := 0
		for _, l := range all {
			l.mu.Lock()
			sent += len(l.arrivals)
			l.mu.Unlock()
		}
		return w.dropped() == leavers*leaverMails-sent
	})
	if left := owed - arrived.Load(); left < owed/2 {
		t.Errorf("only %d were still owed", left)
	}
	w.daemon.Kill() // the others need not be sent
}

// handLeavers hands in the leavers' messages, each with others before, between
// and behind them, and then the rest.
func (w *world) handLeavers() {
	w.Helper()
	c := w.connect()
	defer c.conn.Close()
	message := []byte(letter("X-Postrider-Stream: marketing"))
	for n := range leaverMails + fillerMails {
		size := fillerOf
		if n < leaverMails {
			size = mixedReaders
		}
		to := make([]string, size)
		for i := range to {
			to[i] = fmt.Sprintf("r%d-%d@reader.example", n, i)
			if n < leaverMails && i%2 == 1 && i/2 < leavers {
				to[i] = fmt.Sprintf("leaver%d@reader.example", i/2)
			}
		}
		if _, err := c.send(sender, to, message); err != nil {
			w.Fatal(err)
		}
	}
}

// dropped is how many recipients the gate has turned away.
func (w *world) dropped() int {
	w.Helper()
	response, err := http.Get("http://" + w.health + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	for line := range strings.Lines(string(metrics)) {
		if value, ok := strings.CutPrefix(line, `postrider_delivery_outcomes_total{type="dropped"} `); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				w.Fatal(err)
			}
			return int(n)
		}
	}
	return 0
}
