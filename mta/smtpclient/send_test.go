package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// bothWays runs a test with PIPELINING and without.
func bothWays(t *testing.T, o testmx.Options, test func(t *testing.T, o testmx.Options)) {
	for _, without := range []bool{false, true} {
		t.Run(map[bool]string{false: "pipelined", true: "stepwise"}[without], func(t *testing.T) {
			o.Without.Pipelining = without
			test(t, o)
		})
	}
}

func TestSend(t *testing.T) {
	bothWays(t, testmx.Options{}, func(t *testing.T, o testmx.Options) {
		server, addr := testmx.Start(t, o)
		c := dial(t, addr, Options{})
		tx := transactionTo(t, "a@one.example", "b@two.example")
		tx.Message = [][]byte{[]byte("Subject: x\r\n\r\n.dot\r\n"), []byte(".\r\n..\r\nlast")}
		for range 3 {
			if got := codes(send(t, c, tx)); got != "message 250 2.0.0, message 250 2.0.0" {
				t.Errorf("answers: %s", got)
			}
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
		messages := server.Messages()
		if len(messages) != 3 {
			t.Fatalf("%d messages", len(messages))
		}
		m := messages[2]
		if want := append(join(tx.Message), "\r\n"...); !bytes.Equal(m.Data, want) {
			t.Errorf("got %q, want %q", m.Data, want)
		}
		if m.From != "sender@example.com" || len(m.Recipients) != 2 || m.Recipients[1].Address != "b@two.example" || m.Hello != "client.example" {
			t.Errorf("envelope: %+v", m)
		}
		if n := server.Counters().Connections; n != 1 {
			t.Errorf("%d connections", n)
		}
		noViolations(t, server)
	})
}

func TestNullSender(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	tx := transactionTo(t, "a@one.example")
	tx.Envelope.From = mail.Address{}
	send(t, dial(t, addr, Options{}), tx)
	if m := server.Messages(); len(m) != 1 || m[0].From != "" {
		t.Errorf("%+v", m)
	}
	noViolations(t, server)
}

// rule makes a rule that answers.
func rule(c testmx.Command, pattern, reply string) testmx.Rule {
	return testmx.Rule{Command: c, Pattern: pattern, Action: testmx.Action{Reply: reply}}
}

func TestRefusals(t *testing.T) {
	const ok = "message 250 2.0.0"
	for name, test := range map[string]struct {
		rules []testmx.Rule
		want  string
		// kept counts the messages that the server took of two transactions.
		kept int
	}{
		"mail":             {[]testmx.Rule{rule(testmx.MAIL, "", "550 5.7.1 no")}, "MAIL 550 5.7.1, MAIL 550 5.7.1", 0},
		"mail temporarily": {[]testmx.Rule{rule(testmx.MAIL, "", "451 4.7.1 no")}, "MAIL 451 4.7.1, MAIL 451 4.7.1", 0},
		"one recipient":    {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "550 5.1.1 no")}, "RCPT 550 5.1.1, " + ok, 2},
		"all recipients":   {[]testmx.Rule{rule(testmx.RCPT, "", "550 5.1.1 no")}, "RCPT 550 5.1.1, RCPT 550 5.1.1", 0},
		"recipients in two ways": {
			[]testmx.Rule{rule(testmx.RCPT, "@one.example", "450 4.2.1 later"), rule(testmx.RCPT, "@two.example", "550 no")},
			"RCPT 450 4.2.1, RCPT 550", 0,
		},
		"lone dot": {
			[]testmx.Rule{rule(testmx.RCPT, "", "550 5.1.1 no"), rule(testmx.DATA, "", "354 anyway")},
			"RCPT 550 5.1.1, RCPT 550 5.1.1", 0,
		},
		"data":                   {[]testmx.Rule{rule(testmx.DATA, "", "554 5.7.1 no")}, "DATA 554 5.7.1, DATA 554 5.7.1", 0},
		"message":                {[]testmx.Rule{rule(testmx.Content, "", "554 5.6.0 spam")}, "message 554 5.6.0, message 554 5.6.0", 0},
		"message and recipient":  {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "550 no"), rule(testmx.Content, "", "451 x")}, "RCPT 550, message 451", 0},
		"several lines":          {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "550-5.1.1 no\n550-5.1.1 such\n550 5.1.1 user")}, "RCPT 550 5.1.1, " + ok, 2},
		"codes differ":           {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "250-well\n550 no")}, "RCPT 550, " + ok, 2},
		"no text":                {[]testmx.Rule{rule(testmx.Any, "", "")}, ok + ", " + ok, 2},
		"250 without text":       {[]testmx.Rule{rule(testmx.MAIL, "", "250"), rule(testmx.RCPT, "", "250"), rule(testmx.DATA, "", "354"), rule(testmx.Content, "", "250")}, "message 250, message 250", 2},
		"251 for a recipient":    {[]testmx.Rule{rule(testmx.RCPT, "", "251 forwards")}, ok + ", " + ok, 2},
		"a code beyond the rfc":  {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "650 what")}, "RCPT 650, " + ok, 2},
		"a preliminary code":     {[]testmx.Rule{rule(testmx.RCPT, "@one.example", "150 what")}, "RCPT 150, " + ok, 2},
		"greylisting, once each": {[]testmx.Rule{{Command: testmx.RCPT, Times: 1, Action: testmx.Action{Reply: "451 4.7.1 later"}}}, "RCPT 451 4.7.1, RCPT 451 4.7.1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, testmx.Options{Rules: test.rules}, func(t *testing.T, o testmx.Options) {
				server, addr := testmx.Start(t, o)
				c := dial(t, addr, Options{})
				tx := transactionTo(t, "a@one.example", "b@two.example")
				if got := codes(send(t, c, tx)); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				send(t, c, tx) // the connection is still of use
				if n := len(server.Messages()); n != test.kept {
					t.Errorf("%d messages, want %d", n, test.kept)
				}
				if err := c.Reset(t.Context()); err != nil {
					t.Error(err)
				}
				noViolations(t, server)
			})
		})
	}
}

// TestSessionEnds: 421, a close or nonsense at each step ends the session.
// What was decided before is known, all else is undecided.
func TestSessionEnds(t *testing.T) {
	endings := map[string]testmx.Action{
		"421":       {Reply: "421 4.3.2 shutting down"},
		"closed":    {Drop: true},
		"garbage":   {Raw: []byte("\x00\x01\x02 what?\r\n")},
		"bad code":  {Raw: []byte("2x0 fine\r\n")},
		"cut short": {Raw: []byte("25"), Close: true},
		"cut lines": {Raw: []byte("250-one\r\n250-two\r\n"), Close: true},
		"too much":  {Raw: bytes.Repeat([]byte("250-and on\r\n"), 900_000), Close: true},
		"a line":    {Raw: bytes.Repeat([]byte("2"), 10<<20), Close: true},
	}
	for _, at := range []struct {
		rule    testmx.Rule
		command Command
		// refused, undecided are the answers to two recipients with a 421 and without.
		refused, undecided string
	}{
		{testmx.Rule{Command: testmx.MAIL}, MAIL, "MAIL 421 4.3.2, MAIL 421 4.3.2", "-, -"},
		{testmx.Rule{Command: testmx.RCPT, Pattern: "@one.example"}, RCPT, "RCPT 421 4.3.2, -", "-, -"},
		{testmx.Rule{Command: testmx.RCPT, Pattern: "@two.example"}, RCPT, "-, RCPT 421 4.3.2", "-, -"},
		{testmx.Rule{Command: testmx.DATA}, DATA, "DATA 421 4.3.2, DATA 421 4.3.2", "-, -"},
		{testmx.Rule{Command: testmx.Content}, Final, "message 421 4.3.2, message 421 4.3.2", "-, -"},
	} {
		for name, action := range endings {
			t.Run(fmt.Sprint(at.rule.Command, at.rule.Pattern, " ", name), func(t *testing.T) {
				r := at.rule
				r.Action = action
				bothWays(t, testmx.Options{Rules: []testmx.Rule{r}}, func(t *testing.T, o testmx.Options) {
					_, addr := testmx.Start(t, o)
					c := dial(t, addr, Options{})
					answers, err := c.Send(t.Context(), transactionTo(t, "a@one.example", "b@two.example"))
					e := failure(t, err, at.command)
					want, scope := at.undecided, mail.ScopeSession
					if name == "421" {
						want = at.refused
						if at.command == MAIL {
							scope = mail.ScopeSite
						}
						if e.Reply.Code != 421 {
							t.Errorf("reply: %+v", e.Reply)
						}
					}
					if got := codes(answers); got != want || e.Scope != scope {
						t.Errorf("got %s and scope %s, want %s and %s", got, e.Scope, want, scope)
					}
					if _, again := c.Send(t.Context(), transactionTo(t, "a@one.example")); !errors.Is(again, err) {
						t.Errorf("then: %v", again)
					}
				})
			})
		}
	}
}

func TestDecidedBeforeTheBreakStands(t *testing.T) {
	bothWays(t, testmx.Options{Rules: []testmx.Rule{
		rule(testmx.RCPT, "@one.example", "550 5.1.1 no"),
		{Command: testmx.Content, Action: testmx.Action{Drop: true}},
	}}, func(t *testing.T, o testmx.Options) {
		_, addr := testmx.Start(t, o)
		answers, err := dial(t, addr, Options{}).Send(t.Context(), transactionTo(t, "a@one.example", "b@two.example"))
		failure(t, err, Final)
		if got := codes(answers); got != "RCPT 550 5.1.1, -" {
			t.Error(got)
		}
	})
}

func TestBreakInsideTheMessage(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.Content, Action: testmx.Action{DropAfter: 1000}},
	}})
	tx := transactionTo(t, "a@one.example")
	tx.Message = [][]byte{bytes.Repeat([]byte("0123456789abcdef\r\n"), 1<<20)}
	answers, err := dial(t, addr, Options{}).Send(t.Context(), tx)
	failure(t, err, Final)
	if got := codes(answers); got != "-" {
		t.Error(got)
	}
}

func TestLaterMailRefusedBy421IsNotTheSitesFault(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.MAIL, Nth: 2, Action: testmx.Action{Reply: "421 4.7.0 enough messages"}},
	}})
	c := dial(t, addr, Options{})
	send(t, c, transactionTo(t, "a@one.example"))
	_, err := c.Send(t.Context(), transactionTo(t, "a@one.example"))
	if e := failure(t, err, MAIL); e.Scope != mail.ScopeSession || e.Reply.Enhanced.Subject != 7 {
		t.Errorf("%+v", e)
	}
}

// TestOutOfStep: a server that says what fits no command must never make a
// message count as delivered.
func TestOutOfStep(t *testing.T) {
	for name, test := range map[string]struct {
		rule    testmx.Rule
		command Command
	}{
		"354 to MAIL":               {rule(testmx.MAIL, "", "354 go"), MAIL},
		"354 to RCPT":               {rule(testmx.RCPT, "", "354 go"), RCPT},
		"250 to DATA":               {rule(testmx.DATA, "", "250 ok"), DATA},
		"334 to DATA":               {rule(testmx.DATA, "", "334 ok"), DATA},
		"354 to message":            {rule(testmx.Content, "", "354 go"), Final},
		"250 behind 354":            {rule(testmx.DATA, "", "354 go\n250 delivered"), DATA},
		"250 to MAIL, RCPT, too":    {rule(testmx.MAIL, "", "250 ok\n250 ok"), DATA},
		"421 behind 354":            {rule(testmx.DATA, "", "354 go\n421 no"), DATA},
		"250 to everything of MAIL": {rule(testmx.MAIL, "", "250 ok\n250 ok\n354 go\n250 delivered"), DATA},
	} {
		t.Run(name, func(t *testing.T) {
			server, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{test.rule}})
			answers, err := dial(t, addr, Options{}).Send(t.Context(), transactionTo(t, "a@one.example"))
			failure(t, err, test.command)
			if got := codes(answers); got != "-" {
				t.Error(got)
			}
			if n := len(server.Messages()); test.command != Final && n != 0 {
				t.Errorf("server took %d messages", n)
			}
		})
	}
}

// TestUnaskedReply: what comes after the answer to one message is not the
// answer to the next one's MAIL.
func TestUnaskedReply(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{rule(testmx.Content, "", "250 ok\n250 ok again")}})
	c := dial(t, addr, Options{})
	send(t, c, transactionTo(t, "a@one.example"))
	answers, err := c.Send(t.Context(), transactionTo(t, "a@one.example"))
	if e := failure(t, err, MAIL); !errors.Is(e, ErrReply) {
		t.Error(e)
	}
	if got := codes(answers); got != "-" {
		t.Error(got)
	}
}

// TestManyRecipients is about a server that writes every reply at once while
// we write: thousands of recipients must not lock both.
func TestManyRecipients(t *testing.T) {
	bothWays(t, testmx.Options{Rules: []testmx.Rule{
		rule(testmx.RCPT, "r*7@one.example", "550 5.1.1 "+strings.Repeat("very ", 80)+"unknown"),
	}}, func(t *testing.T, o testmx.Options) {
		server, addr := testmx.Start(t, o)
		tx := transactionTo(t)
		for i := range 5000 {
			tx.Recipients = append(tx.Recipients, mail.Recipient{Address: address(t, fmt.Sprintf("r%d@one.example", i))})
		}
		for i, a := range send(t, dial(t, addr, Options{}), tx) {
			if want := map[bool]Command{true: RCPT, false: Final}[i%10 == 7]; a.Command != want {
				t.Fatalf("recipient %d: %+v", i, a)
			}
		}
		if n := len(server.Messages()[0].Recipients); n != 4500 {
			t.Errorf("%d recipients", n)
		}
		noViolations(t, server)
	})
}

func TestMailRefusedStopsManyRecipients(t *testing.T) {
	bothWays(t, testmx.Options{Rules: []testmx.Rule{rule(testmx.MAIL, "", "550 5.7.1 no")}}, func(t *testing.T, o testmx.Options) {
		server, addr := testmx.Start(t, o)
		tx := transactionTo(t)
		for i := range 1000 {
			tx.Recipients = append(tx.Recipients, mail.Recipient{Address: address(t, fmt.Sprintf("r%d@one.example", i))})
		}
		for _, a := range send(t, dial(t, addr, Options{}), tx) {
			if a.Command != MAIL {
				t.Fatalf("%+v", a)
			}
		}
		if n := server.Counters().Refused; n > 2*pipelineWindow {
			t.Errorf("server had to refuse %d commands", n)
		}
	})
}

func TestNoRecipients(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	if answers := send(t, dial(t, addr, Options{}), transactionTo(t)); len(answers) != 0 {
		t.Errorf("%+v", answers)
	}
	if n := server.Counters().Refused; n != 0 {
		t.Errorf("asked the server %d times", n)
	}
}

func TestPipelinedFlightIsOneRoundTrip(t *testing.T) {
	const delay = 30 * time.Millisecond
	_, target := testmx.Start(t, testmx.Options{})
	_, addr := testmx.StartProxy(t, testmx.ProxyOptions{Target: target, Delay: delay})
	c := dial(t, addr, Options{})
	counting := &countingConn{Conn: c.wire.base}
	c.wire.base, c.wire.conn = counting, counting
	tx := transactionTo(t, "a@one.example", "b@one.example", "c@one.example")
	send(t, c, tx)
	// A change of direction is a round trip: the envelope's and the message's.
	if counting.turns != 2 {
		t.Errorf("%d round trips, want 2", counting.turns)
	}
}

func TestMasked(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{rule(testmx.RCPT, "", "421 4.2.1 <a@one.example> is over quota")}})
	_, err := dial(t, addr, Options{}).Send(t.Context(), transactionTo(t, "a@one.example"))
	e := failure(t, err, RCPT) // looks for the address in the text
	if !strings.Contains(e.Reply.Text, "a@one.example") {
		t.Errorf("reply: %+v", e.Reply)
	}
}

// TestLastWords: a server that stops reading in the middle of the message has
// often said why.
func TestLastWords(t *testing.T) {
	for words, want := range map[string]string{
		"552 5.3.4 enough\r\n": "message 552 5.3.4",
		"421 4.3.2 bye\r\n":    "message 421 4.3.2",
		"250 2.0.0 taken\r\n":  "-",
		"":                     "-",
	} {
		l := scripted(t, "220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", words)
		c := dial(t, tcpAddr(l), Options{Timeouts: Timeouts{Block: 5 * time.Second, Final: 5 * time.Second}})
		tx := transactionTo(t, "a@one.example")
		tx.Message = [][]byte{make([]byte, 30<<20)}
		c.wire.conn = &brokenPipe{Conn: c.wire.conn, after: 1 << 20}
		answers, err := c.Send(t.Context(), tx)
		failure(t, err, Final)
		if got := codes(answers); got != want {
			t.Errorf("after %q: got %s, want %s", words, got, want)
		}
	}
}
