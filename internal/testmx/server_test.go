package testmx

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// client is a line client that may be as bad as a test needs it.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func connect(t testing.TB, addr netip.AddrPort) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
	return &client{t, conn, bufio.NewReader(conn)}
}

// greeted connects and says EHLO.
func greeted(t testing.TB, addr netip.AddrPort) *client {
	t.Helper()
	c := connect(t, addr)
	c.expect("220")
	c.say("EHLO c.example")
	c.expect("250")
	return c
}

func (c *client) write(s string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) say(lines ...string) { c.write(strings.Join(lines, "\r\n") + "\r\n") }

// reply returns all lines of one reply.
func (c *client) reply() (string, error) {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return strings.Join(lines, "\n"), err
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n"), nil
		}
	}
}

// expect reads a reply for each code.
func (c *client) expect(codes ...string) string {
	c.t.Helper()
	var last string
	for _, code := range codes {
		reply, err := c.reply()
		if err != nil || !strings.HasPrefix(reply, code) {
			c.t.Fatalf("got %q, %v; want %s", reply, err, code)
		}
		last = reply
	}
	return last
}

func (c *client) expectClosed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

func TestOneMessageInOneFlight(t *testing.T) {
	server, addr := Start(t, Options{})
	c := greeted(t, addr)
	c.say("MAIL FROM:<a@x.example> SIZE=14", "RCPT TO:<b@Y.example>", "RCPT TO:<c@z.example> NOTIFY=NEVER", "DATA")
	c.expect("250", "250", "250", "354")
	// The next envelope rides behind the body.
	c.say("A: b", "", "..dot", ".", "MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
	c.expect("250", "250", "250", "354")
	c.say(".")
	c.expect("250")
	c.say("QUIT")
	c.expect("221")
	c.expectClosed()
	m := server.Messages()
	if len(m) != 2 || string(m[0].Data) != "A: b\r\n\r\n.dot\r\n" || m[0].Size != 14 || m[0].Hello != "c.example" || len(m[1].Data) != 0 {
		t.Errorf("%+v", m)
	}
	if value, ok := m[0].Recipients[1].Parameter("notify"); !ok || value != "NEVER" {
		t.Errorf("%+v", m[0].Recipients)
	}
	if n := server.Counters(); n.Messages != 2 || n.Recipients != 3 || n.Domains["y.example"].Accepted != 2 || n.Connections != 1 || n.Peak != 1 {
		t.Errorf("%+v", n)
	}
	if v := server.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
}

// TestMessageInEveryCut sends one message cut in two at each place, and one
// octet at a time.
func TestMessageInEveryCut(t *testing.T) {
	const flight = "..a\r\n.\r\x00\n\r\n..\r\n.\r\n"
	const want = ".a\r\n\r\x00\n\r\n.\r\n"
	server := New(Options{Keep: true})
	addr, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := greeted(t, addr)
	for cut := range len(flight) {
		c.say("MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
		c.expect("250", "250", "354")
		c.write(flight[:cut])
		time.Sleep(time.Millisecond)
		c.write(flight[cut:])
		c.expect("250")
	}
	for i, m := range server.Messages() {
		if string(m.Data) != want {
			t.Fatalf("cut at %d: %q", i, m.Data)
		}
	}
}

func TestMessageLargerThanTheBuffer(t *testing.T) {
	server, addr := Start(t, Options{})
	c := greeted(t, addr)
	c.say("MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
	c.expect("250", "250", "354")
	body := strings.Repeat("0123456789\r\n", 20_000)
	c.write(body + ".\r\n")
	c.expect("250")
	if got := server.Messages()[0].Data; string(got) != body {
		t.Errorf("%d octets", len(got))
	}
}

func TestChunks(t *testing.T) {
	server, addr := Start(t, Options{})
	c := greeted(t, addr)
	c.write("MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nBDAT 3\r\nA: BDAT 9 LAST\r\nb\r\n\r\n.\r\nxRSET\r\n")
	c.expect("250", "250", "250", "250", "250")
	if got := server.Messages()[0].Data; string(got) != "A: b\r\n\r\n.\r\nx" {
		t.Errorf("%q", got)
	}
	c.write("BDAT 4 LAST\r\nRSETNOOP\r\n")
	c.expect("503", "250")
	c.say("BDAT x")
	c.expect("501")
}

func TestSequence(t *testing.T) {
	_, addr := Start(t, Options{MaxSize: 50})
	c := connect(t, addr)
	c.expect("220")
	for _, step := range [][2]string{
		{"MAIL FROM:<a@x.example>", "503"},
		{"WHAT", "500"},
		{"HELO c.example", "250"},
		{"RCPT TO:<a@x.example>", "503"},
		{"DATA", "503"},
		{"MAIL TO:<a@x.example>", "501"},
		{"MAIL FROM:a@x.example", "501"},
		{"MAIL FROM:<a@x.example> SIZE=51", "552"},
		{"MAIL FROM:<a@x.example>", "250"},
		{"MAIL FROM:<a@x.example>", "503"},
		{"RCPT TO:<>", "501"},
		{"DATA", "503"},
		{"RCPT TO:<\"a>b\"@x.example>", "250"},
		{"DATA", "354"},
		{strings.Repeat("x", 60) + "\r\n.", "552"},
		{"DATA", "503"},
		{"NOOP", "250"},
		{"STARTTLS", "502"},
		{"AUTH PLAIN", "334"},
		{"=", "535"},
		{"AUTH WHAT", "504"},
		{strings.Repeat("x", 10_000), "500"},
	} {
		c.say(step[0])
		c.expect(step[1])
	}
	c.expectClosed()
}

func TestOffers(t *testing.T) {
	config, _, err := SelfSigned("mx.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{}, "250-mx.test\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250-CHUNKING\n250-ENHANCEDSTATUSCODES\n250 SIZE"},
		{
			Options{Hostname: "h", MaxSize: 7, TLSConfig: config, Accounts: map[string]string{}, Without: Extensions{Pipelining: true, EightBitMIME: true, SMTPUTF8: true, DSN: true, Chunking: true}},
			"250-h\n250-ENHANCEDSTATUSCODES\n250-SIZE 7\n250-STARTTLS\n250 AUTH PLAIN LOGIN",
		},
		{Options{TLSConfig: config, Without: Extensions{Pipelining: true, EightBitMIME: true, SMTPUTF8: true, DSN: true, Chunking: true, EnhancedStatusCodes: true, Size: true, TLS: true}}, "250 mx.test"},
	} {
		_, addr := Start(t, test.options)
		c := connect(t, addr)
		c.expect("220")
		c.say("EHLO c")
		if got := c.expect("250"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestTLSAndAuth(t *testing.T) {
	config, pool, err := SelfSigned("mx.test")
	if err != nil {
		t.Fatal(err)
	}
	server, addr := Start(t, Options{TLSConfig: config, Accounts: map[string]string{"u": "p"}})
	c := greeted(t, addr)
	c.write("STARTTLS\r\nNOOP\r\n") // what rides along is forgotten
	c.expect("220")
	secure := tls.Client(c.conn, &tls.Config{ServerName: "mx.test", RootCAs: pool})
	c.conn, c.r = secure, bufio.NewReader(secure)
	c.say("EHLO c")
	if strings.Contains(c.expect("250"), "STARTTLS") {
		t.Error("STARTTLS is offered twice")
	}
	c.say("AUTH LOGIN")
	c.expect("334")
	c.say(base64.StdEncoding.EncodeToString([]byte("u")))
	c.expect("334")
	c.say(base64.StdEncoding.EncodeToString([]byte("p")))
	c.expect("235")
	c.say("MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
	c.expect("250", "250", "354")
	c.say("A: b", ".")
	c.expect("250")
	if m := server.Messages()[0]; m.TLS == nil || m.User != "u" {
		t.Errorf("%+v", m)
	}
	if v := server.Violations(); !slices.Equal(v, []string{"text behind STARTTLS"}) {
		t.Errorf("%q", v)
	}
}

func TestViolations(t *testing.T) {
	plain := Options{Without: Extensions{Pipelining: true, SMTPUTF8: true, EightBitMIME: true, DSN: true, Size: true}}
	for name, test := range map[string]struct {
		options Options
		flight  string
		want    string
	}{
		"pipelining":       {plain, "MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\n", "pipelining without offer"},
		"behind DATA":      {Options{}, "MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nA: b\r\n.\r\n", "text behind DATA"},
		"bare LF":          {Options{}, "NOOP\n", "command line ends in a bare LF"},
		"nested":           {Options{}, "MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "MAIL inside a transaction"},
		"SIZE":             {plain, "MAIL FROM:<> SIZE=1\r\n", "SIZE without offer"},
		"bad SIZE":         {Options{}, "MAIL FROM:<> SIZE=x\r\n", "malformed SIZE"},
		"BODY":             {plain, "MAIL FROM:<> BODY=8BITMIME\r\n", "BODY without offer"},
		"SMTPUTF8":         {plain, "MAIL FROM:<> SMTPUTF8\r\n", "SMTPUTF8 without offer"},
		"DSN":              {plain, "MAIL FROM:<> RET=FULL\r\n", "DSN without offer"},
		"what":             {plain, "MAIL FROM:<> WHAT=FULL\r\n", "unknown parameter of MAIL"},
		"non-ASCII sender": {Options{}, "MAIL FROM:<ä@x.example>\r\n", "non-ASCII sender without SMTPUTF8"},
		"non-ASCII":        {Options{}, "MAIL FROM:<>\r\nRCPT TO:<ä@x.example>\r\n", "non-ASCII recipient without SMTPUTF8"},
	} {
		t.Run(name, func(t *testing.T) {
			server, addr := Start(t, test.options)
			c := greeted(t, addr)
			c.write(test.flight)
			time.Sleep(5 * time.Millisecond)
			c.say("QUIT")
			_, _ = io.ReadAll(c.r) // until the server has seen everything
			if v := server.Violations(); !slices.Contains(v, test.want) {
				t.Errorf("got %q, want %q", v, test.want)
			}
		})
	}
}

func TestContentViolations(t *testing.T) {
	for content, want := range map[string]string{
		"a\nb\r\n":                        "bare LF in the message",
		"a\rb\r\n":                        "bare CR in the message",
		"a\x00b\r\n":                      "NUL in the message",
		"ä\r\n":                           "8-bit content without BODY=8BITMIME",
		strings.Repeat("x", 999) + "\r\n": "line longer than 998 octets",
		"fine\r\n":                        "",
		strings.Repeat("x", 998) + "\r\n": "",
	} {
		server, addr := Start(t, Options{})
		c := greeted(t, addr)
		c.say("MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
		c.expect("250", "250", "354")
		c.write(content + ".\r\n")
		c.expect("250")
		if v := strings.Join(server.Violations(), ", "); v != want {
			t.Errorf("%.20q: got %q, want %q", content, v, want)
		}
	}
}

func TestOnMessageRefuses(t *testing.T) {
	server, addr := Start(t, Options{OnMessage: func(*Message) error { return errors.New("disk is full") }})
	c := greeted(t, addr)
	c.say("MAIL FROM:<>", "RCPT TO:<b@y.example>", "DATA")
	c.expect("250", "250", "354")
	c.say("A: b", ".")
	c.expect("451")
	if n := server.Counters().Messages; n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	server := New(Options{Rules: []Rule{{Command: NOOP, Action: Action{Delay: time.Hour}}}})
	addr, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	idle, delayed := greeted(t, addr), greeted(t, addr)
	delayed.say("NOOP")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	idle.expectClosed()
	delayed.expectClosed()
	if n := server.Counters().Current; n != 0 {
		t.Errorf("%d connections", n)
	}
	if err := server.Close(); err != nil {
		t.Errorf("second time: %v", err)
	}
}

func TestIdleTimeout(t *testing.T) {
	_, addr := Start(t, Options{IdleTimeout: time.Millisecond})
	c := connect(t, addr)
	c.expect("220")
	c.expectClosed()
}
