package powerfail

import (
	"bytes"
	"context"
	"html"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// The domains of recipients, by what becomes of their mail.
const (
	openDomain   = "open.example"   // taken
	laterDomain  = "later.example"  // deferred once
	busyDomain   = "busy.example"   // deferred at times, when it is complete
	refuseDomain = "refuse.example" // refused for good
	neverDomain  = "never.example"  // deferred until it expires
	parkedDomain = "parked.example" // held
)

// world is who lives around a daemon in one of its lives: it remembers what was
// asked of the daemon, and what came of it.
type world struct {
	seed   uint64
	server *testmx.Server
	// arrived are letters for readers to look at.
	arrived chan arrival

	mu   sync.Mutex
	last int
	asks map[int]*ask
	// told are events as somebody read them in the log.
	told map[occurrence]bool
}

// ask is what was asked of the daemon.
type ask struct {
	word
	// about is the number of the letter that a reader looked at; 0 for none.
	about int
}

type occurrence struct {
	message string
	index   int
	kind    event.Type
}

// arrival is a letter that reached its reader.
type arrival struct {
	number int
	reader string
	// click, open and leave are the URLs in it; empty for none.
	click, open, leave string
}

// mailbag bounds the letters that nobody has looked at.
const mailbag = 10_000

func newWorld(firstNumber int, seed uint64) *world {
	return &world{
		seed: seed, last: firstNumber, asks: map[int]*ask{},
		told: map[occurrence]bool{}, arrived: make(chan arrival, mailbag),
	}
}

// exchange starts the mail exchanger and returns its address.
func (w *world) exchange() (string, error) {
	rcpt := func(domain, reply string) testmx.Rule {
		return testmx.Rule{Command: testmx.RCPT, Pattern: "@" + domain, Action: testmx.Action{Reply: reply}}
	}
	later := rcpt(laterDomain, "450 4.2.1 mailbox busy, come back later")
	later.Times = 1
	w.server = testmx.New(testmx.Options{
		Seed: w.seed, OnMessage: w.arrive, Rules: []testmx.Rule{
			later, rcpt(refuseDomain, "550 5.1.1 no such mailbox"), rcpt(neverDomain, "450 4.2.1 mailbox busy"),
			{Command: testmx.Content, Pattern: "@" + busyDomain, Probability: 0.4, Action: testmx.Action{Reply: "452 4.2.2 no room in the mailbox now"}},
		},
	})
	address, err := w.server.Listen()
	return address.String(), err
}

func (w *world) close() {
	if w.server != nil {
		_ = w.server.Close() // it counts nothing that matters here
	}
}

// arrive hands a letter to its readers.
func (w *world) arrive(m *testmx.Message) error {
	n, err := strconv.Atoi(between(m.Data, mark, "\r\n"))
	if err != nil || !w.asked(n) {
		return nil // of an earlier life
	}
	a := arrival{
		number: n,
		click:  html.UnescapeString(between(m.Data, `<a href="`, `"`)),
		leave:  strings.TrimSpace(between(m.Data, "List-Unsubscribe:", ">")),
	}
	_, a.leave, _ = strings.Cut(a.leave, "<")
	if a.click == letterLink {
		a.click = "" // not tracked
	}
	if at := bytes.Index(m.Data, []byte("<img ")); at >= 0 {
		a.open = html.UnescapeString(between(m.Data[at:], `src="`, `"`))
	}
	for _, recipient := range m.Recipients {
		a.reader = recipient.Address
		select {
		case w.arrived <- a:
		default: // enough to read
		}
	}
	return nil
}

// between returns what stands between two marks; empty if they are not there.
func between(text []byte, begin, end string) string {
	_, after, found := bytes.Cut(text, []byte(begin))
	within, _, whole := bytes.Cut(after, []byte(end))
	if !found || !whole {
		return ""
	}
	return string(within)
}

// ask numbers what is about to be asked.
func (w *world) ask(a ask) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	a.Number = w.last
	w.asks[w.last] = &a
	return w.last
}

func (w *world) asked(number int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asks[number] != nil
}

// amend enters what an answer made known.
func (w *world) amend(number int, change func(*word)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.asks[number].word)
}

func (w *world) lastNumber() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// requests returns all that was asked, by number.
func (w *world) requests() map[int]word {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[int]word{}
	for n, a := range w.asks {
		if letter := w.asks[a.about]; letter != nil {
			for i := range a.Events {
				a.Events[i].Message = letter.Message.ID.String()
			}
		}
		all[n] = a.word
	}
	return all
}

// remember takes note of an event that was read.
func (w *world) remember(e *event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[occurrence{e.Message, e.Index, e.Type}] = true
}

// ended returns how many recipients of letters have come to their end, and how
// many are still to.
func (w *world) ended() (ended, open int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asks {
		if a.Kind != wordAccept || !a.Message.NotBefore.IsZero() {
			continue
		}
		for i, r := range a.Recipients {
			switch {
			case w.hasEnded(a.Message.ID.String(), i):
				ended++
			case r.Address.Domain() != parkedDomain:
				open++
			}
		}
	}
	return ended, open
}

func (w *world) hasEnded(message string, index int) bool {
	for _, kind := range []event.Type{event.Delivered, event.Bounced, event.Expired, event.Dropped} {
		if w.told[occurrence{message, index, kind}] {
			return true
		}
	}
	return false
}

// heardOf reports whether an event about the first recipient of a letter was
// told.
func (w *world) heardOf(number int, kind event.Type) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	letter := w.asks[number]
	return letter != nil && w.told[occurrence{letter.Message.ID.String(), 0, kind}]
}

// socketClient speaks HTTP over a unix socket.
func socketClient(path string) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", path)
		},
	}}
}
