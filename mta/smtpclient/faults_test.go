package smtpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// cutConn ends after so many octets in and out; negative for no end.
type cutConn struct {
	net.Conn
	mu      sync.Mutex
	in, out int
}

func (c *cutConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	left := c.in
	c.mu.Unlock()
	if left == 0 {
		_ = c.Close() // this is the break
		return 0, io.EOF
	}
	if left > 0 && len(p) > left {
		p = p[:left]
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in > 0 {
		c.in -= n
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out < 0 {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:min(len(p), c.out)]) // the client may be gone
	if c.out -= n; c.out == 0 {
		_ = c.Close() // this is the break
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// cutListener cuts its first connection.
type cutListener struct {
	net.Listener
	in, out int
}

func (l *cutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, in: l.in, out: l.out}, nil
}

// exchange sends all over one connection that is cut, and returns the results
// after the server has ended, so that it took what it ever will; without any
// where the cut came before the first message.
func exchangeCut(ctx context.Context, t testing.TB, o testmx.Options, in, out int, all []*Transaction) (*testmx.Server, []Result) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Keep = true
	server := testmx.New(o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(&cutListener{l, in, out}) // it ends by Close
	}()
	defer func() {
		_ = server.Close() // in a test, there is nothing to save
		<-done
	}()
	c, err := Dial(ctx, tcpAddr(l), "mx.test", Options{LocalName: "x", TLS: mail.TLSNone})
	if err != nil {
		return server, nil
	}
	// A breaking server must not wait for the end of the test.
	results := begin(ctx, t, c, all)
	_ = c.Quit(ctx) // it may be broken
	return server, results
}

// TestCutAnywhere ends the connection after each octet of either direction:
// what the results say must be what the server did.
func TestCutAnywhere(t *testing.T) {
	eachWay(t, testmx.Options{Rules: []testmx.Rule{
		rule(testmx.RCPT, "a1@*", "550 5.1.1 no"),
		rule(testmx.RCPT, "*4@*", "550 5.1.1 no"),
	}}, func(t *testing.T, o testmx.Options) {
		all := numbered(t, 6)
		whole, results := exchangeCut(t.Context(), t, o, -1, -1, all)
		noErrors(t, results)
		check(t, whole, all, results)
		for _, inward := range []bool{true, false} {
			for n := 1; ; n++ {
				in, out := n, -1
				if !inward {
					in, out = -1, n
				}
				server, results := exchangeCut(t.Context(), t, o, in, out, all)
				if results != nil {
					check(t, server, all, results)
				}
				if t.Failed() {
					t.Fatalf("cut after %d octets, inward: %v", n, inward)
				}
				if results != nil && results[5].Transaction != nil && results[5].Err == nil {
					break // the cut came after the last answer
				}
			}
		}
	})
}

// TestRandomFaults lets everything be refused, delayed and broken by chance.
func TestRandomFaults(t *testing.T) {
	commands := []testmx.Command{testmx.MAIL, testmx.RCPT, testmx.DATA, testmx.Content, testmx.RSET}
	actions := []testmx.Action{
		{Reply: "550 5.7.1 no"},
		{Reply: "451 4.7.1 later"},
		{Reply: "421 4.3.2 bye"},
		{Reply: "503 5.5.1 bad sequence"},
		{Reply: "354 go on"},
		{Drop: true},
		{Delay: time.Millisecond},
		{Raw: []byte("what?\r\n")},
		{Reply: "250-well\n550 no"},
		{Close: true},
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := testmx.Options{Seed: rapid.Uint64().Draw(rt, "seed")}
		o.Without = ways[rapid.SampledFrom([]string{"chunking", "pipelining", "neither"}).Draw(rt, "way")]
		for range rapid.IntRange(1, 3).Draw(rt, "rules") {
			r := testmx.Rule{
				Command:     rapid.SampledFrom(commands).Draw(rt, "command"),
				Probability: rapid.Float64Range(0.01, 0.3).Draw(rt, "chance"),
				Action:      rapid.SampledFrom(actions).Draw(rt, "action"),
			}
			// RSET has but one answer (RFC 5321 section 4.1.1.5): a server that
			// refused it, kept the transaction and went on would put what is in
			// flight under the sender before.
			r.Close = r.Close || r.Command == testmx.RSET && (r.Reply != "" || r.Raw != nil)
			o.Rules = append(o.Rules, r)
		}
		all := numbered(t, rapid.IntRange(1, 60).Draw(rt, "transactions"))
		server, results := exchangeCut(t.Context(), t, o, -1, -1, all)
		check(rt, server, all, results)
		if rt.Failed() {
			rt.Fatalf("rules: %+v", o.Rules)
		}
	})
}

// talker is a server of the test's own: what it hears and says is up to answer.
func talker(t *testing.T, offer string, answer func(lines *bufio.Reader, say func(string)) bool) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				talk(conn, offer, answer)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends it
		group.Wait()
	})
	return l
}

func talk(conn net.Conn, offer string, answer func(lines *bufio.Reader, say func(string)) bool) {
	say := func(s string) { _, _ = conn.Write([]byte(s)) } // the client may be gone
	lines := bufio.NewReader(conn)
	say("220 x\r\n")
	if _, err := lines.ReadString('\n'); err != nil {
		return
	}
	say(offer)
	for answer(lines, say) {
		continue
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// An end in good order, which destroys no answer under way.
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	}
}

const everything = "250-x\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"

// command reads one command; a chunk is read with it.
func command(lines *bufio.Reader, swallow bool) (verb string, ok bool) {
	line, err := lines.ReadString('\n')
	if err != nil {
		return "", false
	}
	verb, _, _ = strings.Cut(strings.TrimSpace(line), " ")
	var size int
	if n, _ := fmt.Sscanf(line, "BDAT %d", &size); n == 1 && swallow {
		_, err = lines.Discard(size)
	}
	return verb, err == nil
}

// TestLiars are servers that offer what they cannot do, or lose count. None of
// it may count as an answer to the message, and the next connection is told.
func TestLiars(t *testing.T) {
	usual := map[string]string{"RSET": "250 2.0.0 ok\r\n", "MAIL": "250 2.1.0 ok\r\n", "RCPT": "250 2.1.5 ok\r\n", "BDAT": "250 2.6.0 taken\r\n", "QUIT": "221 bye\r\n"}
	for name, test := range map[string]struct {
		// says overrules the usual answer to the nth message's commands.
		says func(message int, verb string) string
		// swallow holds for a server that knows what a chunk is.
		swallow bool
		// good messages come before the trouble; wanted says what is then.
		good  int
		again bool
	}{
		"does not know BDAT": {func(_ int, verb string) string {
			if verb != "RSET" && usual[verb] == "" || verb == "BDAT" {
				return "500 5.5.1 what?\r\n"
			}
			return ""
		}, false, 0, true},
		"BDAT not implemented": {func(_ int, verb string) string { return only(verb == "BDAT", "502 5.5.1 no\r\n") }, true, 0, true},
		"BDAT not now":         {func(n int, verb string) string { return only(n == 3 && verb == "BDAT", "503 5.5.1 no\r\n") }, true, 2, true},
		"minds the sequence":   {func(n int, verb string) string { return only(n == 3 && verb == "MAIL", "503 5.5.1 no\r\n") }, true, 2, true},
		"no RSET":              {func(_ int, verb string) string { return only(verb == "RSET", "500 5.5.1 what?\r\n") }, true, 2, true},
		"354 to a chunk":       {func(n int, verb string) string { return only(n == 3 && verb == "BDAT", "354 go\r\n") }, true, 2, false},
		"takes nothing for nobody": {func(n int, verb string) string {
			return only(n == 3 && verb == "RCPT", "550 5.1.1 no\r\n")
		}, true, 2, false},
		"answers once too often": {func(n int, verb string) string {
			return only(n == 2 && verb == "BDAT", "250 2.6.0 taken\r\n250 2.6.0 taken\r\n")
		}, true, 2, false},
		"ends in the middle": {func(n int, verb string) string { return only(n == 3 && verb == "BDAT", "end") }, true, 2, false},
		"ends before":        {func(n int, verb string) string { return only(n == 3 && verb == "MAIL", "end") }, true, 2, true},
		"takes what it refused": {func(n int, verb string) string {
			return only(n == 3 && verb == "MAIL", "550 5.7.1 no\r\n")
		}, true, 2, false},
		"ten megabytes": {func(n int, verb string) string {
			return only(n == 3 && verb == "MAIL", strings.Repeat("250-and on\r\n", 900_000))
		}, true, 2, true},
		"garbage, not answers": {func(n int, verb string) string { return only(n == 3 && verb == "MAIL", "\x00\x01\r\n") }, true, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			message := 0
			var mu sync.Mutex
			l := talker(t, everything, func(lines *bufio.Reader, say func(string)) bool {
				verb, ok := command(lines, test.swallow)
				mu.Lock()
				defer mu.Unlock()
				if verb == "MAIL" {
					message++
				}
				if verb == "BDAT" && message == 2 {
					_, _ = lines.Peek(200) // until the next two are in flight
				}
				reply := test.says(message, verb)
				if reply == "" {
					reply = usual[verb]
				}
				if reply == "end" || !ok {
					return false
				}
				say(reply)
				return true
			})
			c := dial(t, tcpAddr(l), Options{Timeouts: Timeouts{Command: time.Second, Final: time.Second}})
			all := numbered(t, 8)
			for _, tx := range all {
				tx.Recipients = tx.Recipients[:1]
			}
			results := begin(t.Context(), t, c, all)
			for i, r := range results {
				got := codes(r.Answers)
				switch {
				case i < test.good:
					if got != "message 250 2.6.0" {
						t.Errorf("%d: %s", i, got)
					}
				case strings.HasPrefix(name, "takes") && i == test.good:
					if got != "RCPT 550 5.1.1" && got != "MAIL 550 5.7.1" {
						t.Errorf("%d: %s", i, got)
					}
				case r.Transaction != nil && got != "-":
					t.Errorf("%d: %s", i, got)
				case r.Transaction != nil && r.Again != (test.again || i > test.good):
					t.Errorf("%d: again is %v, %v", i, r.Again, r.Err)
				}
			}
			if !c.OneAtATime() || results[test.good].Err == nil {
				t.Errorf("one at a time: %v, %v", c.OneAtATime(), results[test.good].Err)
			}
		})
	}
}

func only(when bool, reply string) string {
	if when {
		return reply
	}
	return ""
}

// heavy makes messages that are noticed when they are sent in vain.
func heavy(t testing.TB, n int) []*Transaction {
	t.Helper()
	all := numbered(t, n)
	for _, tx := range all {
		tx.Message = append(tx.Message, []byte("\r\n"+strings.Repeat("0123456789abcdef\r\n", 600)))
	}
	return all
}

// weighingConn counts what is written.
type weighingConn struct {
	net.Conn
	written int
}

func (c *weighingConn) Write(p []byte) (int, error) {
	c.written += len(p)
	return c.Conn.Write(p)
}

// TestWary: after a refusal for a while the server is asked first, and no
// message is sent in vain.
func TestWary(t *testing.T) {
	eachWay(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Times: 1, Action: testmx.Action{Reply: "451 4.7.1 greylisted"}},
	}}, func(t *testing.T, o testmx.Options) {
		server, addr := testmx.Start(t, o)
		c := dial(t, addr, Options{})
		weight := &weighingConn{Conn: c.wire.base}
		c.wire.base, c.wire.conn = weight, weight
		all := heavy(t, 20)
		for _, want := range []string{"RCPT 451 4.7.1, RCPT 451 4.7.1", "message 250 2.0.0, message 250 2.0.0"} {
			results := begin(t.Context(), t, c, all)
			noErrors(t, results)
			for i, r := range results {
				if got := codes(r.Answers); got != want {
					t.Errorf("%d: %s", i, got)
				}
			}
			if want[:4] == "RCPT" && weight.written > 2*10_800+20*500 {
				t.Errorf("%d octets for 20 refusals", weight.written)
			}
		}
		if c.OneAtATime() || o.Without == (testmx.Extensions{}) && c.Window() < 2 {
			t.Errorf("window of %d after all is well", c.Window())
		}
		noViolations(t, server)
	})
}

// TestLoneDotInFlight: where nobody is left to send to, an invitation is
// answered by a lone dot, with the next envelope behind it.
func TestLoneDotInFlight(t *testing.T) {
	var mu sync.Mutex
	var bodies []int
	l := talker(t, "250-x\r\n250 PIPELINING\r\n", func(lines *bufio.Reader, say func(string)) bool {
		verb, ok := command(lines, true)
		switch verb {
		case "RCPT":
			say("550 5.1.1 no\r\n")
		case "DATA":
			say("354 go\r\n")
			size := 0
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return false
				}
				if size += len(line); line == ".\r\n" {
					break
				}
			}
			mu.Lock()
			bodies = append(bodies, size)
			mu.Unlock()
			say("554 5.5.1 nobody\r\n")
		default:
			say("250 ok\r\n")
		}
		return ok
	})
	results := begin(t.Context(), t, dial(t, tcpAddr(l), Options{}), heavy(t, 5))
	noErrors(t, results)
	mu.Lock()
	defer mu.Unlock()
	for i, size := range bodies {
		if size != 3 || codes(results[i].Answers) != "RCPT 550 5.1.1, RCPT 550 5.1.1" {
			t.Errorf("%d: %d octets, %s", i, size, codes(results[i].Answers))
		}
	}
	if len(bodies) != 5 {
		t.Errorf("%d invitations", len(bodies))
	}
}

// TestLastWordsInFlight: what a server says after it stopped reading counts if
// it refuses, never if it claims to have all of a message that was not sent.
func TestLastWordsInFlight(t *testing.T) {
	for words, want := range map[string]string{
		"552 5.3.4 enough\r\n": "message 552 5.3.4",
		"421 4.3.2 bye\r\n":    "message 421 4.3.2",
		"250 2.0.0 taken\r\n":  "-",
		"":                     "-",
	} {
		l := scripted(t, "220 x\r\n", everything, "250 ok\r\n250 ok\r\n"+words)
		c := dial(t, tcpAddr(l), Options{Timeouts: Timeouts{Block: 5 * time.Second, Final: 5 * time.Second}})
		tx := transactionTo(t, "a@one.example")
		tx.Message = [][]byte{make([]byte, maxOctets-1000)}
		c.wire.conn = &brokenPipe{Conn: c.wire.conn, after: 100_000}
		r := begin(t.Context(), t, c, []*Transaction{&tx})[0]
		if got := codes(r.Answers); got != want {
			t.Errorf("after %q: got %s, want %s", words, got, want)
		}
	}
}

// TestIdleBreakIsNoSign: a connection that was closed while idle
// says nothing about transactions in flight.
func TestIdleBreakIsNoSign(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	c := dial(t, addr, Options{})
	all := numbered(t, 20)
	noErrors(t, begin(t.Context(), t, c, all[:10]))
	server.Drop()
	for _, r := range begin(t.Context(), t, c, all[10:]) {
		if r.Transaction != nil && (r.Err == nil || !r.Again) {
			t.Errorf("%+v", r)
		}
	}
	if c.OneAtATime() {
		t.Error("one at a time")
	}
}

// forgetful answers one command of what it reads, and forgets the others.
func forgetful(lines *bufio.Reader, say func(string)) bool {
	verb, ok := command(lines, true)
	_, _ = lines.Discard(lines.Buffered())
	if verb == "DATA" {
		say("354 go\r\n")
		ok = readBody(lines)
	}
	say("250 2.0.0 ok\r\n")
	return ok
}

// TestOneAtATime: a server that offers PIPELINING and knows one command at a
// time is found out, and gets its mail by the next connection.
func TestOneAtATime(t *testing.T) {
	for name, offer := range map[string]string{"chunking": everything, "pipelining": "250-x\r\n250 PIPELINING\r\n"} {
		t.Run(name, func(t *testing.T) {
			l := talker(t, offer, forgetful)
			c := dial(t, tcpAddr(l), Options{Timeouts: Timeouts{Command: 100 * time.Millisecond, Data: 100 * time.Millisecond}})
			all := numbered(t, 5)
			if r := begin(t.Context(), t, c, all)[0]; r.Err == nil || codes(r.Answers) != "-, -" || !c.OneAtATime() {
				t.Errorf("%s, %v", codes(r.Answers), r.Err)
			}
			c = dial(t, tcpAddr(l), Options{OneAtATime: true})
			results := begin(t.Context(), t, c, all)
			noErrors(t, results)
			for i, r := range results {
				if got := codes(r.Answers); got != "message 250 2.0.0, message 250 2.0.0" {
					t.Errorf("%d: %s", i, got)
				}
			}
			if c.OneAtATime() {
				t.Error("shows what it was asked for")
			}
		})
	}
}

// TestNeitherEndWaits: a server that reads no further before its answers are
// read, over a connection that holds nothing in between, must not lock both.
func TestNeitherEndWaits(t *testing.T) {
	long := "250-" + strings.Repeat("x", 500) + "\r\n250 2.0.0 ok\r\n"
	for name, offer := range map[string]string{"chunking": everything, "pipelining": "250-x\r\n250 PIPELINING\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					talk(far, offer, func(lines *bufio.Reader, say func(string)) bool {
						verb, ok := command(lines, true)
						if verb == "DATA" {
							say("354 go\r\n")
							ok = readBody(lines)
						}
						say(long)
						return ok && verb != "QUIT"
					})
				}()
				c := newClient(near, "x", Options{LocalName: "x", Timeouts: Timeouts{}.withDefaults()})
				if err := c.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				all := numbered(t, 50)
				for _, tx := range all {
					for i := range 50 {
						tx.Recipients = append(tx.Recipients, mail.Recipient{Address: address(t, fmt.Sprintf("r%d@three.example", i))})
					}
				}
				noErrors(t, begin(t.Context(), t, c, all))
				if err := c.Quit(t.Context()); err != nil {
					t.Error(err)
				}
				<-done
			})
		})
	}
}

// TestEachAnswerHasItsDeadline although several are outstanding, and although
// an octet comes every second.
func TestEachAnswerHasItsDeadline(t *testing.T) {
	limits := Timeouts{Command: 20 * time.Second, Data: 4 * time.Second, Final: 50 * time.Second}
	for name, test := range map[string]struct {
		slow    string
		offer   string
		command Command
		after   time.Duration
	}{
		"MAIL":  {"MAIL", everything, MAIL, limits.Command},
		"RCPT":  {"RCPT", everything, RCPT, limits.Command},
		"chunk": {"BDAT", everything, Final, limits.Final},
		"DATA":  {"DATA", "250-x\r\n250 PIPELINING\r\n", DATA, limits.Data},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// All goes well, if slowly, up to the tenth message.
				near, far := net.Pipe()
				done := make(chan struct{})
				var last time.Time
				count := 0
				go func() {
					defer close(done)
					talk(far, test.offer, func(lines *bufio.Reader, say func(string)) bool {
						verb, ok := command(lines, true)
						if verb == "MAIL" {
							count++
						}
						time.Sleep(limits.Command / 10)
						if verb == test.slow && count == 10 {
							go func() { _, _ = io.Copy(io.Discard, lines) }() // until the client closes
							for ok := true; ok; {
								time.Sleep(time.Second)
								_, err := far.Write([]byte("2"))
								ok = err == nil
							}
							return false
						}
						if verb == "DATA" {
							say("354 go\r\n")
							ok = readBody(lines)
						}
						last = time.Now()
						say("250 2.0.0 ok\r\n")
						return ok
					})
				}()
				c := newClient(near, "x", Options{LocalName: "x", Timeouts: limits.withDefaults()})
				if err := c.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				results := begin(t.Context(), t, c, numbered(t, 20))
				waited := time.Since(last)
				for i, r := range results {
					if r.Transaction == nil {
						continue
					}
					if (r.Err == nil) != (i < 9) {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				if e := failure(t, results[9].Err, test.command); !errors.Is(e, os.ErrDeadlineExceeded) {
					t.Error(e)
				}
				if waited < test.after || waited > test.after+limits.Command/5 {
					t.Errorf("gave up after %v, want %v", waited, test.after)
				}
				<-done
			})
		})
	}
}

// TestContextInterruptsFlight: all under way gets its result at once.
func TestContextInterruptsFlight(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.Content, Nth: 8, Action: testmx.Action{Delay: time.Hour}},
	}})
	gone := errors.New("the caller is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := dial(t, addr, Options{})
	all := numbered(t, 10)
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	results := begin(ctx, t, c, all)
	for i, r := range results {
		if r.Transaction != nil && i >= 7 && (!errors.Is(r.Err, gone) || codes(r.Answers) != "-, -") {
			t.Errorf("%d: %v, %s", i, r.Err, codes(r.Answers))
		}
	}
	if results[7].Err == nil || c.OneAtATime() {
		t.Errorf("%v, one at a time: %v", results[7].Err, c.OneAtATime())
	}
}

// FuzzAnswers lets a server say anything at all to a flight of transactions:
// there is one result of each, and none counts as sent that came to no 250.
func FuzzAnswers(f *testing.F) {
	good := "250 ok\r\n250 ok\r\n250 ok\r\n"
	f.Add(true, good+good+good)
	f.Add(false, "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
	f.Add(true, "550 no\r\n503 no\r\n503 no\r\n"+good)
	f.Add(true, "250-a\r\n250-b\r\n421 c\r\n")
	f.Add(false, "250 ok\r\n550 no\r\n354 go\r\n554 no\r\n421 x\r\n")
	f.Add(true, good+"250 2.1.0 x\r\n\x00")
	f.Fuzz(func(t *testing.T, chunking bool, answers string) {
		offer := "250-x\r\n250 PIPELINING\r\n"
		if chunking {
			offer = everything
		}
		near, far := net.Pipe()
		var group sync.WaitGroup
		group.Go(func() {
			_, _ = io.Copy(io.Discard, far) // until the client closes
		})
		group.Go(func() {
			_, _ = io.WriteString(far, "220 x\r\n"+offer+answers) // the client may close first
			_ = far.Close()
		})
		c := newClient(near, "x", Options{LocalName: "x", Timeouts: Timeouts{}.withDefaults()})
		if err := c.open(t.Context()); err == nil {
			taken := 0
			for _, r := range begin(t.Context(), t, c, numbered(t, 5)) {
				if r.Transaction != nil && len(r.Answers) > 0 && r.Answers[0].Reply.Positive() {
					taken++
				}
			}
			if taken > strings.Count(answers, "2") {
				t.Errorf("%d taken by %q", taken, answers)
			}
		}
		_ = c.Close() // it may be broken
		group.Wait()
	})
}
