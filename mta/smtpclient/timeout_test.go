package smtpclient

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowServer answers a client over a pipe: each command by its word's reply,
// the one named slow octet by octet, a second apart.
func slowServer(conn net.Conn, slow string) {
	defer conn.Close()
	say := func(word, reply string) bool {
		if word != slow {
			_, err := conn.Write([]byte(reply))
			return err == nil
		}
		for i := range len(reply) {
			time.Sleep(time.Second)
			if _, err := conn.Write([]byte{reply[i]}); err != nil {
				return false
			}
		}
		return true
	}
	lines := bufio.NewReader(conn)
	for ok := say("greeting", "220 x\r\n"); ok; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		switch word := line[:4]; word {
		case "DATA":
			ok = say("DATA", "354 go\r\n") && readBody(lines) && say("message", "250 ok\r\n")
		case "MAIL", "RCPT", "EHLO", "QUIT", "RSET":
			ok = say(word, "250 "+strings.Repeat("x", 100)+"\r\n")
		}
	}
}

// serve runs a slowServer until the end of the test.
func serve(t *testing.T, conn net.Conn, slow string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		slowServer(conn, slow)
	}()
	t.Cleanup(func() {
		_ = conn.Close() // ends the server
		<-done
	})
}

func readBody(lines *bufio.Reader) bool {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			return true
		}
	}
}

// TestOneDeadlineOverTheWholeReply: a server that keeps sending, but too
// slowly, does not keep us.
func TestOneDeadlineOverTheWholeReply(t *testing.T) {
	limits := Timeouts{Greeting: 3 * time.Second, Command: 20 * time.Second, Data: 4 * time.Second, Final: 5 * time.Second, Quit: 6 * time.Second}
	for slow, test := range map[string]struct {
		command Command
		after   time.Duration
	}{
		"greeting": {Greeting, limits.Greeting},
		"EHLO":     {EHLO, limits.Command},
		"MAIL":     {MAIL, limits.Command},
		"RCPT":     {RCPT, limits.Command},
		"DATA":     {DATA, limits.Data},
		"message":  {Final, limits.Final},
		"RSET":     {RSET, limits.Command},
		"QUIT":     {QUIT, limits.Quit},
	} {
		t.Run(slow, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				serve(t, far, slow)
				c := newClient(near, "x", Options{LocalName: "x", Timeouts: limits.withDefaults()})
				start := time.Now()
				err := c.open(t.Context())
				if err == nil {
					_, err = c.Send(t.Context(), transactionTo(t, "a@one.example"))
				}
				if err == nil {
					err = c.Reset(t.Context())
				}
				if err == nil {
					err = c.Quit(t.Context())
				}
				if e := failure(t, err, test.command); !errors.Is(e, os.ErrDeadlineExceeded) {
					t.Error(e)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("gave up after %s, want %s", took, test.after)
				}
			})
		})
	}
}

// TestServerThatDoesNotRead: each block of the message has its deadline.
func TestServerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go play(far, []string{"220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"})
		limits := Timeouts{Block: 7 * time.Second}
		c := newClient(near, "x", Options{LocalName: "x", Timeouts: limits.withDefaults()})
		if err := c.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		tx := transactionTo(t, "a@one.example")
		tx.Message = [][]byte{make([]byte, 100_000)}
		answers, err := c.Send(t.Context(), tx)
		if e := failure(t, err, Final); !errors.Is(e, os.ErrDeadlineExceeded) || codes(answers) != "-" {
			t.Errorf("%v %s", e, codes(answers))
		}
		if took := time.Since(start); took != limits.Block {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestContextInterruptsEveryWait(t *testing.T) {
	for _, silent := range []string{"greeting", "EHLO", "MAIL", "RCPT", "DATA", "message"} {
		t.Run(silent, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				serve(t, far, silent)
				c := newClient(near, "x", Options{LocalName: "x", Timeouts: Timeouts{}.withDefaults()})
				ctx := within(t, 1500*time.Millisecond)
				start := time.Now()
				err := c.open(ctx)
				if err == nil {
					_, err = c.Send(ctx, transactionTo(t, "a@one.example"))
				}
				if err == nil || time.Since(start) != 1500*time.Millisecond {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}
