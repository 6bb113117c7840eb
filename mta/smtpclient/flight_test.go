package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// ways are the servers that Begin has to get along with.
var ways = map[string]testmx.Extensions{
	"chunking":   {},
	"pipelining": {Chunking: true},
	"neither":    {Chunking: true, Pipelining: true},
	"no lines":   {Pipelining: true},
}

func eachWay(t *testing.T, o testmx.Options, test func(t *testing.T, o testmx.Options)) {
	for name, without := range ways {
		t.Run(name, func(t *testing.T) {
			o.Without = without
			test(t, o)
		})
	}
}

// numbered makes transactions that can be told apart by all that they hold.
func numbered(t testing.TB, n int) []*Transaction {
	t.Helper()
	all := make([]*Transaction, n)
	for i := range all {
		tx := transactionTo(t, fmt.Sprintf("a%d@one.example", i), fmt.Sprintf("b%d@two.example", i))
		tx.Envelope.From = address(t, fmt.Sprintf("sender%d@example.com", i))
		tx.Message = [][]byte{fmt.Appendf(nil, "Subject: %d\r\n\r\n", i), []byte(".dot\r\n.\r\n..\r\nlast"), []byte(" line")}
		all[i] = &tx
	}
	return all
}

// begin offers all transactions as fast as c takes them, and returns their
// results in the order of the transactions; those that c did not take any more
// have no Transaction.
func begin(ctx context.Context, t testing.TB, c *Client, all []*Transaction) []Result {
	t.Helper()
	results := map[*Transaction]Result{}
	begun := 0
	receive := func() {
		r := <-c.Results()
		if _, twice := results[r.Transaction]; twice {
			t.Error("two results of one transaction")
		}
		results[r.Transaction] = r
	}
	for _, tx := range all {
		for !c.Room(tx) {
			receive()
		}
		if err := c.Begin(ctx, tx); err != nil {
			break
		}
		begun++
	}
	for len(results) < begun {
		receive()
	}
	out := make([]Result, len(all))
	for i, tx := range all {
		out[i] = results[tx]
	}
	return out
}

// check demands that what the server took is what the results say: nothing
// that was not sent, nothing twice, nothing mixed with another; and nothing
// counted as sent that it has not, or as refused that it has.
func check(t rapid.TB, server *testmx.Server, all []*Transaction, results []Result) {
	t.Helper()
	taken := map[string]string{}
	for _, m := range server.Messages() {
		for _, r := range m.Recipients {
			if _, twice := taken[r.Address]; twice {
				t.Errorf("%s got two messages", r.Address)
			}
			taken[r.Address] = m.From + "\n" + string(m.Data)
		}
	}
	for i, tx := range all {
		want := tx.Envelope.From.String() + "\n" + string(join(tx.Message)) + "\r\n"
		for j := range tx.Recipients {
			name := tx.Recipients[j].Address.String()
			got, arrived := taken[name]
			delete(taken, name)
			if arrived && got != want {
				t.Errorf("%s got %q, want %q", name, got, want)
			}
			if results[i].Transaction == nil {
				if arrived {
					t.Errorf("%s got what was never begun", name)
				}
				continue
			}
			a := results[i].Answers[j]
			if undecided := a == (Answer{}); !undecided && arrived != a.Reply.Positive() {
				t.Errorf("%s: %s, arrived: %v", name, a.Reply, arrived)
			} else if undecided && results[i].Err == nil {
				t.Errorf("%s: undecided without an error", name)
			}
		}
	}
	for name := range taken {
		t.Errorf("%s got a message that nobody sent", name)
	}
}

func noErrors(t testing.TB, results []Result) {
	t.Helper()
	for i, r := range results {
		if r.Transaction == nil || r.Err != nil {
			t.Fatalf("transaction %d: begun: %v, %v", i, r.Transaction != nil, r.Err)
		}
	}
}

func TestBegin(t *testing.T) {
	config, _ := certificate(t, "mx.test")
	for name, o := range map[string]testmx.Options{"clear": {}, "TLS": {TLSConfig: config}} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, o, func(t *testing.T, o testmx.Options) {
				server, addr := testmx.Start(t, o)
				c := dial(t, addr, Options{})
				all := numbered(t, 100)
				results := begin(t.Context(), t, c, all)
				noErrors(t, results)
				check(t, server, all, results)
				noViolations(t, server)
				if n := len(server.Messages()); n != 100 || server.Counters().Connections != 1 {
					t.Errorf("%d messages over %d connections", n, server.Counters().Connections)
				}
				if err := c.Quit(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// atDistance connects a client and a server of the bubble.
func atDistance(t *testing.T, delay time.Duration, o testmx.Options, options Options) (*testmx.Server, *Client) {
	t.Helper()
	near, far := testmx.Distance(delay)
	o.Keep, o.Strict = true, true
	server := testmx.New(o)
	l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conn <- far
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = near.Close()
		_ = server.Close() // in a test, there is nothing to save
		<-served
		time.Sleep(2 * delay) // the way ends later than its ends
	})
	options.LocalName, options.Timeouts = "x", options.Timeouts.withDefaults()
	c := newClient(near, "x", options)
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server, c
}

// oneConn is a listener for one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestRoundTrips counts what 100 messages cost on a long way: without
// extensions four round trips each, with PIPELINING one, with CHUNKING far
// less.
func TestRoundTrips(t *testing.T) {
	for name, most := range map[string]int{"chunking": 15, "pipelining": 103, "neither": 501, "no lines": 501} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const trip = 50 * time.Millisecond
				server, c := atDistance(t, trip/2, testmx.Options{Without: ways[name]}, Options{})
				all := numbered(t, 100)
				start := time.Now()
				results := begin(t.Context(), t, c, all)
				trips := int(time.Since(start) / trip)
				noErrors(t, results)
				check(t, server, all, results)
				noViolations(t, server)
				if trips > most || trips < most/2 {
					t.Errorf("%d round trips for 100 messages, want at most %d", trips, most)
				}
			})
		})
	}
}

// TestWindowStaysSmallWhereTheServerIsSlow: what would only wait in line at
// the server is not sent ahead.
func TestWindowStaysSmallWhereTheServerIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := atDistance(t, time.Millisecond, testmx.Options{Rules: []testmx.Rule{
			{Command: testmx.Content, Action: testmx.Action{Delay: 200 * time.Millisecond}},
		}}, Options{})
		most := 0
		results := []Result{}
		for _, tx := range numbered(t, 100) {
			for !c.Room(tx) {
				results = append(results, <-c.Results())
				most = max(most, c.Window())
			}
			if err := c.Begin(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
		}
		for len(results) < 100 {
			results = append(results, <-c.Results())
		}
		noErrors(t, results)
		if most > firstLeap {
			t.Errorf("window of %d", most)
		}
	})
}

func TestBusy(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.Content, Action: testmx.Action{Delay: time.Hour}},
	}})
	c := dial(t, addr, Options{})
	all := numbered(t, 2)
	if err := c.Begin(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if c.Room(all[1]) || !errors.Is(c.Begin(t.Context(), all[1]), ErrBusy) {
		t.Error("two at once on a fresh connection")
	}
	if _, err := c.Send(t.Context(), *all[1]); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
	if r := <-c.Results(); !errors.Is(r.Err, ErrClosed) || codes(r.Answers) != "-, -" {
		t.Errorf("%+v", r)
	}
	if err := c.Begin(t.Context(), all[1]); err == nil {
		t.Error("begun after the end")
	}
}

// TestWhatTheServerCannotCarry is known before anything is sent.
func TestWhatTheServerCannotCarry(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{MaxSize: 1000, Without: testmx.Extensions{SMTPUTF8: true, EightBitMIME: true}})
	c := dial(t, addr, Options{})
	all := numbered(t, 40)
	for i, tx := range all {
		switch i % 4 {
		case 1:
			tx.Message = append(tx.Message, make([]byte, 1000))
		case 2:
			tx.Envelope.EightBit = true
		case 3:
			tx.Recipients[0].Address = address(t, fmt.Sprintf("jürgen%d@one.example", i))
		}
	}
	results := begin(t.Context(), t, c, all)
	noErrors(t, results)
	for i, r := range results {
		want := []string{
			"message 250 2.0.0, message 250 2.0.0", "MAIL 552 5.3.4, MAIL 552 5.3.4",
			"MAIL 554 5.6.3, MAIL 554 5.6.3", "RCPT 550 5.6.7, message 250 2.0.0",
		}[i%4]
		if got := codes(r.Answers); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
	check(t, server, all, results)
	noViolations(t, server)
}

// TestLargeAndManyTravelAlone: neither a message beyond the window nor more
// recipients than answers fit into buffers are under way with others.
func TestLargeAndManyTravelAlone(t *testing.T) {
	eachWay(t, testmx.Options{}, func(t *testing.T, o testmx.Options) {
		server, addr := testmx.Start(t, o)
		c := dial(t, addr, Options{})
		all := numbered(t, 30)
		all[10].Message = append(all[10].Message, []byte(strings.Repeat("\r\n0123456789abcdef", maxOctets/16)))
		for i := range 300 {
			all[20].Recipients = append(all[20].Recipients, mail.Recipient{Address: address(t, fmt.Sprintf("r%d@three.example", i))})
		}
		results := begin(t.Context(), t, c, all)
		noErrors(t, results)
		check(t, server, all, results)
		noViolations(t, server)
	})
}
