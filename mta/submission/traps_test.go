package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// The traps of go-smtp's server, in the order in which they were found.

// 1: after a time-out inside a message, nothing may run as a command.
func TestTimeoutInsideAMessageCloses(t *testing.T) {
	for _, begin := range []string{"DATA\r\n", "BDAT 100\r\n"} {
		o := options(trusted())
		o.Limits.Idle = 150 * time.Millisecond
		f := start(t, o)
		c := f.greeted(0)
		c.send("MAIL FROM:<sender@example.com>\r\nRCPT TO:<rcpt@example.net>\r\n" + begin + "From: a@example.com\r\n")
		c.expect("250")
		c.expect("250")
		if begin == "DATA\r\n" {
			c.expect("354")
		}
		c.expect("421 4.4.2")
		io.WriteString(c.conn, "NOOP\r\nNOOP\r\n")
		c.closed()
		if f.store.count() != 0 {
			t.Errorf("%q: a part was accepted", begin)
		}
	}
}

// 2: a slow sender is served as long as it goes on sending.
func TestDeadlineRolls(t *testing.T) {
	o := options(trusted())
	o.Limits.Idle = 400 * time.Millisecond
	f := start(t, o)
	c := f.greeted(0)
	c.envelope()
	c.say("DATA", "354")
	c.send("From: sender@example.com\r\n\r\n")
	for range 8 {
		time.Sleep(100 * time.Millisecond)
		c.send("line\r\n")
	}
	c.say(".", "250")
}

// 2, the other way: no client stays for ever.
func TestSessionEnds(t *testing.T) {
	o := options(trusted())
	o.Limits.Session = 300 * time.Millisecond
	f := start(t, o)
	c := f.greeted(0)
	for {
		c.send("NOOP\r\n")
		if reply := c.reply(); strings.HasPrefix(reply, "421 4.4.2") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.closed()
}

// 3: only CRLF.CRLF ends a message, and a bare CR or LF refuses it.
func TestBareLineEnds(t *testing.T) {
	f := startTrusted(t)
	for _, bad := range []string{
		"\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r\n.\r", "\r.\r\n", "\r\r\n", "a\nb", "a\rb", "\r\r\n\r\n",
	} {
		c := f.greeted(0)
		c.envelope()
		c.say("DATA", "354")
		c.send(simple + bad + "MAIL FROM:<smuggled@example.com>\r\nRCPT TO:<x@example.net>\r\nDATA\r\nx\r\n.\r\n")
		c.expect("550 5.6.11")
		c.say("NOOP", "250")
		c.envelope()
		message := simple + bad + "x"
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message))
		c.expect("550 5.6.11")
		c.say("NOOP", "250")
	}
	c := f.greeted(0)
	c.envelope()
	c.say("DATA", "354")
	// The end of data in this is real; the CR in front of it is not.
	c.send(simple + "\r\r\n.\r\n")
	c.expect("550 5.6.11")
	for _, line := range []string{"NOOP\n", "NOOP\rQUIT\r\n", "NO\x00OP\r\n", "NOOP \x1b[0m\r\n"} {
		c.send(line)
		c.expect("500 5.5.2")
	}
	c.message(simple+"\x00", "554 5.6.0")
	if f.store.count() != 0 {
		t.Error("accepted")
	}
	c.message(simple, "250")
}

// 4: pipelined chunks with long lines.
func TestChunksWithLongLines(t *testing.T) {
	f := startTrusted(t)
	c := f.dial(0)
	long := simple + strings.Repeat("x", 70_000) + "\r\n"
	c.send("EHLO c\r\nMAIL FROM:<sender@example.com>\r\nRCPT TO:<rcpt@example.net>\r\n" +
		fmt.Sprintf("BDAT %d LAST\r\n%sNOOP\r\n", len(long), long))
	for _, want := range []string{"220", "250", "250", "250", "250 2.0.0 queued", "250"} {
		c.expect(want)
	}
	if body := string(f.store.last(t).Body); !strings.HasSuffix(body, long[len(long)-70_000:]) {
		t.Error("the long line was changed")
	}
	// The chunk of a refused BDAT is not executed.
	c.send("BDAT 6\r\nQUIT\r\nNOOP\r\n")
	c.expect("503")
	c.expect("250")
	c.send(fmt.Sprintf("BDAT %d\r\n%sNOOP\r\n", len(long), long))
	c.expect("503")
	c.expect("250")
}

// 5: quoted local parts neither inject nor change.
func TestMailboxSyntax(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com>", "250")
	c.say(`RCPT TO:<"c> NOTIFY=NEVER <d"@e.example>`, "250")
	c.say(`RCPT TO:<"plain"@e.example>`, "250")
	c.say(`RCPT TO:<"a@b"@e.example>`, "250")
	c.say(`RCPT TO:<@route.example:routed@e.example>`, "250")
	for _, bad := range []string{
		"<a@b@e.example>", `<"a"b@e.example>`, "<a..b@e.example>", "<.a@e.example>", "<a@-e.example>", "<a@e..example>",
		"<a@>", "<@e.example>", "<>", "<a>", "<a b@e.example>", `<"a@e.example>`, "<a@[1.2.3]>", "<a@[IPv6:zz]>",
		"<" + strings.Repeat("a", 65) + "@e.example>", "<a@" + strings.Repeat("b", 64) + ".example>",
	} {
		c.say("RCPT TO:"+bad, "501 5.")
	}
	c = f.greeted(0)
	c.say("MAIL FROM:<\xff@example.com>", "5")
	c.say("MAIL FROM:<ü@example.com>", "553 5.6.7")
	c.say("MAIL FROM:<ü@example.com> SMTPUTF8", "250")
	c.say("RCPT TO:<ö@bücher.example>", "250")
	c.say("RCPT TO:<\xff@e.example>", "501 5.1.3")
	c.say("RSET", "250")
	c.say("MAIL FROM:<sender@example.com>", "250")
	c.say("RCPT TO:<ö@e.example>", "553 5.6.7")
	c.say("RCPT TO:<o@bücher.example>", "553 5.6.7")
}

func TestMailboxesAsQueued(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com>", "250")
	c.say(`RCPT TO:<"c> NOTIFY=NEVER <d"@e.example>`, "250")
	c.say(`RCPT TO:<"plain"@E.example>`, "250")
	c.say("DATA", "354")
	c.say(simple+"\r\n.", "250")
	var got []string
	for _, r := range f.store.last(t).Recipients {
		got = append(got, r.Address.String())
		if r.Notify != 0 {
			t.Error("a parameter was injected")
		}
	}
	if want := `"c> NOTIFY=NEVER <d"@e.example plain@e.example`; strings.Join(got, " ") != want {
		t.Errorf("recipients %q, want %q", got, want)
	}
}

// 6: nested MAIL.
func TestNestedMail(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.envelope()
	c.say("MAIL FROM:<other@example.com>", "503 5.5.1")
	c.say("RCPT TO:<two@example.net>", "250")
	c.say("DATA", "354")
	c.say(simple+"\r\n.", "250")
	got := f.store.last(t)
	if got.Message.Envelope.From.String() != "sender@example.com" || len(got.Recipients) != 2 {
		t.Errorf("%+v", got.Message.Envelope)
	}
	c.say("RCPT TO:<two@example.net>", "503")
	c.say("DATA", "503")
}

// 7: SIZE beyond 32 and 64 bits.
func TestDeclaredSize(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	for size, want := range map[string]string{
		"33554433": "552 5.3.4", "4294967296": "552 5.3.4", "99999999999999999999": "552 5.3.4",
		"-1": "501", "x": "501", "": "501",
	} {
		c.say("MAIL FROM:<sender@example.com> SIZE="+size, want)
	}
	c.say("MAIL FROM:<sender@example.com> SIZE=33554432", "250")
}

// 9: a message that is too long is drained, but not for ever.
func TestOversizedMessage(t *testing.T) {
	o := options(trusted())
	o.Limits.MessageSize, o.Limits.Drain = 20_000, 50_000
	f := start(t, o)
	c := f.greeted(0)
	line := strings.Repeat("x", 98) + "\r\n"
	c.message(simple+"\r\n"+strings.Repeat(line, 300), "552 5.3.4")
	c.message(simple+"\r\n"+strings.Repeat(line, 190), "250")
	c.envelope()
	c.say("DATA", "354")
	go io.WriteString(c.conn, simple+"\r\n"+strings.Repeat(line, 40_000)+".\r\nNOOP\r\n")
	c.expect("552 5.3.4")
	c.closed()

	c = f.greeted(0)
	c.envelope()
	c.send(fmt.Sprintf("BDAT 30000 LAST\r\n%sNOOP\r\n", strings.Repeat(line, 300)))
	c.expect("552 5.3.4")
	c.expect("250")
	c.envelope()
	c.send("BDAT 15000\r\n" + strings.Repeat(line, 150) + "BDAT 15000 LAST\r\n" + strings.Repeat(line, 150) + "NOOP\r\n")
	c.expect("250")
	c.expect("552 5.3.4")
	c.expect("250")
	c.envelope()
	c.send("BDAT 4000000000 LAST\r\n")
	c.expect("552 5.3.4")
	c.closed()
}

// 10: after a failed handshake nothing is said in the clear.
func TestFailedHandshakeCloses(t *testing.T) {
	server, _ := certificate(t)
	f := start(t, options(Listener{Name: "submission", Address: "127.0.0.1:0", TLS: TLSStart, TLSConfig: server}))
	c := f.greeted(0)
	c.say("STARTTLS", "220")
	c.send("EHLO in.the.clear\r\nNOOP\r\n")
	rest, _ := io.ReadAll(c.r)
	if strings.Contains(string(rest), "250") || strings.Contains(string(rest), "550") {
		t.Errorf("answered %q", rest)
	}
}

// 10, beside it: what was pipelined in the clear is not executed under TLS.
func TestNothingBehindSTARTTLS(t *testing.T) {
	server, clientTLS := certificate(t)
	f := start(t, options(Listener{Name: "submission", Address: "127.0.0.1:0", TLS: TLSStart, TLSConfig: server}))
	c := f.greeted(0)
	c.send("STARTTLS\r\nEHLO injected\r\n")
	c.expect("554 5.5.1")
	c.closed()

	c = f.greeted(0)
	c.say("STARTTLS now", "501")
	c = c.starttls(clientTLS)
	c.say("MAIL FROM:<sender@example.com>", "503")
	if reply := c.say("EHLO client.example", "250"); strings.Contains(reply, "STARTTLS") || !strings.Contains(reply, "AUTH PLAIN LOGIN") {
		t.Errorf("offered %q", reply)
	}
	c.say("STARTTLS", "503")
	if reply := c.say("EHLO client.example", "250"); !strings.Contains(reply, "REQUIRETLS") {
		t.Errorf("REQUIRETLS is not offered under TLS: %q", reply)
	}
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235 2.7.0")
	c.message(simple, "250")
	if body := string(f.store.last(t).Body); !strings.Contains(body, " with ESMTPSA id ") {
		t.Errorf("%q", body)
	}
}

// writeCounter counts the writes of a connection.
type writeCounter struct {
	net.Conn
	mu     sync.Mutex
	writes int
}

func (w *writeCounter) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.writes++
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// 11: the replies to what came together go together.
func TestRepliesShareWrites(t *testing.T) {
	o := options(trusted())
	o.Store = &memory{}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	counted := &writeCounter{Conn: ours}
	var served sync.WaitGroup
	served.Go(func() { server.serve(counted, trusted()) })
	defer served.Wait()
	c := newClient(t, theirs)
	c.expect("220")
	c.say("EHLO client.example", "250")
	c.send("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nRSET\r\n")
	for range 5 {
		c.expect("250")
	}
	c.say("QUIT", "221")
	c.closed()
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if counted.writes != 4 {
		t.Errorf("%d writes, want one each for the greeting, EHLO, the pipelined commands and QUIT", counted.writes)
	}
}

// 12: what the store says becomes a temporary reply, wrapped or not.
func TestStorageErrors(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	for _, failure := range []struct {
		err  error
		want string
	}{
		{queue.ErrFull, "452 4.3.1"},
		{fmt.Errorf("wrapped: %w", queue.ErrFull), "452 4.3.1"},
		{queue.ErrUnavailable, "452 4.3.1"},
		{queue.ErrClosed, "451 4.3.0"},
		{errors.New("open /var/lib/secret: permission denied"), "451 4.3.0"},
	} {
		f.store.mu.Lock()
		f.store.fail = failure.err
		f.store.mu.Unlock()
		if reply := c.message(simple, failure.want); strings.Contains(reply, "secret") {
			t.Errorf("the cause is told: %q", reply)
		}
		c.envelope()
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(simple), simple))
		c.expect(failure.want)
	}
}

// faulty is a Store with a bug.
type faulty struct{}

func (faulty) Accept(context.Context, *queue.Submission) error { panic("bug") }

func (faulty) Usage(string) queue.Usage { return queue.Usage{} }

func TestBugEndsOneConnection(t *testing.T) {
	o := options(trusted())
	o.Store = faulty{}
	f := start(t, o)
	for _, command := range []string{"DATA\r\n" + simple + "\r\n.\r\n", fmt.Sprintf("BDAT %d LAST\r\n%s", len(simple), simple)} {
		c := f.greeted(0)
		c.envelope()
		c.send(command)
		if strings.HasPrefix(command, "DATA") {
			c.expect("354")
		}
		c.expect("421")
		c.closed()
	}
	f.greeted(0)
	eventually(t, "all memory is given back", func() bool { return f.server.buffers.held.Load() == 0 })
}

// 13: a chunk that the client cuts short is no message.
func TestCutChunkIsNoMessage(t *testing.T) {
	server, clientTLS := certificate(t)
	secure := trusted()
	secure.Name, secure.TLS, secure.TLSConfig = "secure", TLSImplicit, server
	f := start(t, options(trusted(), secure))
	for i := range 2 {
		for _, begin := range []string{"BDAT 100 LAST\r\n", "BDAT 20\r\nFrom: a@example.com\nBDAT 100 LAST\r\n", "DATA\r\n"} {
			conn, err := net.Dial("tcp", f.address(i))
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				conn = tls.Client(conn, clientTLS)
			}
			c := newClient(t, conn)
			c.expect("220")
			c.say("EHLO client.example", "250")
			c.envelope()
			c.send(begin + simple)
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			rest, _ := io.ReadAll(c.r)
			if strings.Contains(string(rest), "queued") {
				t.Errorf("%q: %q", begin, rest)
			}
		}
	}
	if f.store.count() != 0 {
		t.Error("a part was accepted")
	}
}

// 14: AUTH has its place and its codes, and so have all commands.
func TestSequence(t *testing.T) {
	f := startTrusted(t)
	c := f.dial(0)
	c.expect("220")
	for _, line := range []string{
		"MAIL FROM:<sender@example.com>", "RCPT TO:<a@example.net>", "DATA", "AUTH PLAIN", "BDAT 0 LAST",
	} {
		c.say(line, "503 5.5.1")
	}
	c.say("EHLO client.example", "250")
	c.say("RCPT TO:<a@example.net>", "503 5.5.1")
	c.say("AUTH", "501 5.5.4")
	c.say("AUTH CRAM-MD5", "504")
	c.say("AUTH PLAIN !", "501 5.5.2")
	c.say("AUTH PLAIN =", "501 5.5.2")
	c.say("AUTH PLAIN "+plainResponse("app", "wrong"), "535 5.7.8")
	c.say("MAIL FROM:<sender@example.com>", "250")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "503 5.5.1")
	c.say("DATA", "503 5.5.1")
	c.say("RSET", "250")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "235 2.7.0")
	c.say("AUTH PLAIN "+plainResponse("app", secret), "503 5.5.1")
	c.say("MAIL FROM:<sender@example.com> FOO=bar", "555 5.5.4")
	c.say("MAIL FROM:<sender@example.com> BODY=BINARYMIME", "555 5.5.4")
	c.say("MAIL FROM:<sender@example.com> REQUIRETLS", "555 5.5.4")
}

func TestOffers(t *testing.T) {
	f := startTrusted(t)
	c := f.dial(0)
	c.expect("220 mx.test ESMTP")
	offered := c.say("EHLO client.example", "250")
	for _, want := range []string{
		"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "AUTH PLAIN LOGIN", "SMTPUTF8", "DSN", "SIZE 33554432",
	} {
		if !strings.Contains(offered+"\n", want+"\n") {
			t.Errorf("%s is not offered in %q", want, offered)
		}
	}
	for _, no := range []string{"XCLIENT", "REQUIRETLS", "BINARYMIME", "FUTURERELEASE", "STARTTLS", "XFORWARD"} {
		if strings.Contains(offered, no) {
			t.Errorf("%s is offered", no)
		}
	}
	c.say("XCLIENT ADDR=1.2.3.4", "500")
	c.say("STARTTLS", "502")
}

func TestNotificationParameters(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.say("MAIL FROM:<sender@example.com> RET=HDRS ENVID=QQ+2B7", "250")
	c.say("RCPT TO:<a@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@example.net", "250")
	c.say("RCPT TO:<b@example.net> NOTIFY=NEVER", "250")
	c.say("RCPT TO:<a@example.net> NOTIFY=NEVER", "250")
	c.say("RCPT TO:<c@example.net> NOTIFY=NEVER,SUCCESS", "501")
	c.say("RCPT TO:<c@example.net> ORCPT=rfc822;"+strings.Repeat("x", 501), "501")
	c.say("DATA", "354")
	c.say(simple+"\r\n.", "250")
	got := f.store.last(t)
	if e := got.Message.Envelope; e.Return != "HDRS" || e.ID != "QQ+7" {
		t.Errorf("envelope %+v", e)
	}
	if len(got.Recipients) != 2 {
		t.Fatalf("recipients %+v", got.Recipients)
	}
	a, b := got.Recipients[0], got.Recipients[1]
	if a.Notify != mail.NotifySuccess|mail.NotifyDelay || a.OriginalType != "rfc822" || a.Original != "Bob@example.net" || b.Notify != mail.NotifyNever {
		t.Errorf("recipients %+v", got.Recipients)
	}
}
