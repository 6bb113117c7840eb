package smtpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func certificate(t testing.TB, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	config, pool, err := testmx.SelfSigned(names...)
	if err != nil {
		t.Fatal(err)
	}
	return config, pool
}

func tcpAddr(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

func TestDialNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := tcpAddr(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = tryDial(t, addr, Options{})
	if e := failure(t, err, Connect); e.Scope != mail.ScopeSite {
		t.Errorf("%+v", e)
	}
}

func TestDialFromAddress(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	c := dial(t, addr, Options{LocalAddr: netip.MustParseAddr("127.0.0.9")})
	send(t, c, transactionTo(t, "a@one.example"))
	if got := server.Messages()[0].Remote.Addr().String(); got != "127.0.0.9" || c.LocalAddr().Addr().String() != got {
		t.Errorf("from %s", got)
	}
	if c.RemoteAddr() != addr || c.ServerName() != "mx.test" || c.Greeting().Text != "mx.test ESMTP" {
		t.Errorf("%v %v %v", c.RemoteAddr(), c.ServerName(), c.Greeting())
	}
}

func TestDialFromAddressThatIsNotOurs(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{})
	_, err := tryDial(t, addr, Options{LocalAddr: netip.MustParseAddr("192.0.2.1")})
	if e := failure(t, err, Connect); e.Scope != mail.ScopeSession {
		t.Errorf("the site is blamed: %+v", e)
	}
}

// TestDialTurnedAway: each step before the first message, each way to fail.
func TestDialTurnedAway(t *testing.T) {
	for name, test := range map[string]struct {
		rule    testmx.Rule
		command Command
		code    int
	}{
		"greeting 554":     {rule(testmx.Connect, "", "554 5.7.1 blocked"), Greeting, 554},
		"greeting 421":     {rule(testmx.Connect, "", "421 4.7.0 busy"), Greeting, 421},
		"greeting closed":  {testmx.Rule{Command: testmx.Connect, Action: testmx.Action{Drop: true}}, Greeting, 0},
		"greeting garbage": {testmx.Rule{Command: testmx.Connect, Action: testmx.Action{Raw: []byte("\xff\x00\n")}}, Greeting, 0},
		"greeting SSH":     {testmx.Rule{Command: testmx.Connect, Action: testmx.Action{Raw: []byte("SSH-2.0-OpenSSH_9.2\r\n")}}, Greeting, 0},
		"greeting 334":     {rule(testmx.Connect, "", "334 what"), Greeting, 334},
		"EHLO 4xx":         {rule(testmx.EHLO, "", "451 4.3.0 later"), EHLO, 451},
		"EHLO, HELO 5xx":   {rule(testmx.EHLO, "", "550 5.7.1 not you"), EHLO, 550},
		"EHLO 421":         {rule(testmx.EHLO, "", "421 4.3.2 down"), EHLO, 421},
		"EHLO closed":      {testmx.Rule{Command: testmx.EHLO, Action: testmx.Action{Drop: true}}, EHLO, 0},
		"EHLO 354":         {rule(testmx.EHLO, "", "354 what"), EHLO, 354},
		"STARTTLS 421":     {rule(testmx.STARTTLS, "", "421 4.3.2 down"), STARTTLS, 421},
		"STARTTLS closed":  {testmx.Rule{Command: testmx.STARTTLS, Action: testmx.Action{Drop: true}}, STARTTLS, 0},
	} {
		t.Run(name, func(t *testing.T) {
			config, _ := certificate(t, "mx.test")
			_, addr := testmx.Start(t, testmx.Options{TLSConfig: config, Rules: []testmx.Rule{test.rule}})
			_, err := tryDial(t, addr, Options{})
			if e := failure(t, err, test.command); e.Reply.Code != test.code || e.Scope != mail.ScopeSite {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestHELOFallback(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{Without: testmx.Extensions{EHLO: true}})
	c := dial(t, addr, Options{})
	tx := transactionTo(t, "a@one.example")
	tx.Envelope.Return = "HDRS"
	send(t, c, tx)
	if got := len(server.Messages()[0].Parameters); got != 0 {
		t.Errorf("%d parameters after HELO", got)
	}
	noViolations(t, server)
	_, err := tryDial(t, addr, Options{TLS: mail.TLSEncrypted})
	if e := failure(t, err, STARTTLS); !errors.Is(e, ErrTLSFloor) {
		t.Error(e)
	}
}

func TestExtensions(t *testing.T) {
	l := scripted(t, "220 x\r\n", "250-x PIPELINING\r\n250-pipelining\r\n250-8BitMime\r\n250-SIZE 1234 x\r\n"+
		"250-AUTH=LOGIN plain\r\n250-AUTH PLAIN XOAUTH2\r\n250-\r\n250-dsn\r\n250-X-WHAT EVER\r\n250-RequireTLS\r\n250 Chunking\r\n")
	got := dial(t, tcpAddr(l), Options{}).Extensions()
	auth := got.Auth
	got.Auth = nil
	if !slices.Equal(auth, []string{"LOGIN", "PLAIN", "XOAUTH2"}) {
		t.Errorf("mechanisms: %q", auth)
	}
	want := Extensions{Pipelining: true, EightBitMIME: true, DSN: true, RequireTLS: true, Chunking: true, Size: 1234}
	if got.Pipelining != want.Pipelining || got.Size != want.Size || got.EightBitMIME != want.EightBitMIME ||
		got.DSN != want.DSN || got.RequireTLS != want.RequireTLS || got.Chunking != want.Chunking || got.SMTPUTF8 || got.StartTLS {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLocalName(t *testing.T) {
	server, addr := testmx.Start(t, testmx.Options{})
	c, err := Dial(t.Context(), addr, "mx.test", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, transactionTo(t, "a@one.example"))
	if got := server.Messages()[0].Hello; got != "[127.0.0.1]" {
		t.Errorf("EHLO %s", got)
	}
	_, err = tryDial(t, addr, Options{LocalName: "a\r\nMAIL FROM:<>"})
	failure(t, err, EHLO)
}

func TestTLSFloors(t *testing.T) {
	trusted, pool := certificate(t, "mx.test")
	stranger, _ := certificate(t, "mx.test")
	other, otherPool := certificate(t, "other.test")
	broken := &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12, Certificates: trusted.Certificates}
	type result int
	const (
		clear result = iota
		encrypted
		floor
		handshake
	)
	servers := map[string]testmx.Options{
		"no TLS":   {},
		"trusted":  {TLSConfig: trusted},
		"stranger": {TLSConfig: stranger},
		"name":     {TLSConfig: other},
		"broken":   {TLSConfig: broken},
		"refuses":  {TLSConfig: trusted, Rules: []testmx.Rule{rule(testmx.STARTTLS, "", "454 4.7.0 not now")}},
	}
	for name, want := range map[string][4]result{
		// opportunistic, none, encrypted, verified
		"no TLS":   {clear, clear, floor, floor},
		"trusted":  {encrypted, clear, encrypted, encrypted},
		"stranger": {encrypted, clear, encrypted, handshake},
		"name":     {encrypted, clear, encrypted, handshake},
		"broken":   {handshake, clear, handshake, handshake},
		"refuses":  {clear, clear, floor, floor},
	} {
		for i, level := range []mail.TLSFloor{mail.TLSOpportunistic, mail.TLSNone, mail.TLSEncrypted, mail.TLSVerified} {
			t.Run(name+" "+level.String(), func(t *testing.T) {
				server, addr := testmx.Start(t, servers[name])
				roots := pool
				if name == "name" {
					roots = otherPool
				}
				c, err := tryDial(t, addr, Options{TLS: level, TLSConfig: &tls.Config{RootCAs: roots}})
				switch want[i] {
				case floor:
					if e := failure(t, err, STARTTLS); !errors.Is(e, ErrTLSFloor) {
						t.Error(e)
					}
				case handshake:
					e := failure(t, err, STARTTLS)
					if blamed := e.Scope == mail.ScopeSite; !errors.Is(e, ErrHandshake) || blamed == (level == mail.TLSOpportunistic) {
						t.Errorf("%v, scope %s", e, e.Scope)
					}
				default:
					if err != nil {
						t.Fatal(err)
					}
					send(t, c, transactionTo(t, "a@one.example"))
					m := server.Messages()[0]
					if on := want[i] == encrypted; (m.TLS != nil) != on || (c.TLS() != nil) != on {
						t.Errorf("TLS at the server %v, at the client %v", m.TLS != nil, c.TLS() != nil)
					}
					noViolations(t, server)
				}
			})
		}
	}
}

func TestTLSSendsInRecords(t *testing.T) {
	config, _ := certificate(t, "mx.test")
	server, addr := testmx.Start(t, testmx.Options{TLSConfig: config})
	tx := transactionTo(t, "a@one.example")
	tx.Message = nil
	for range 50_000 {
		tx.Message = append(tx.Message, []byte(".0123456789\r\n"))
	}
	send(t, dial(t, addr, Options{}), tx)
	if m := server.Messages()[0]; string(m.Data) != string(join(tx.Message)) {
		t.Errorf("%d octets arrived", len(m.Data))
	}
}

func TestImplicitTLS(t *testing.T) {
	config, pool := certificate(t, "mx.test")
	server, addr := testmx.Start(t, testmx.Options{TLSConfig: config, ImplicitTLS: true})
	c := dial(t, addr, Options{ImplicitTLS: true, TLS: mail.TLSVerified, TLSConfig: &tls.Config{RootCAs: pool}})
	send(t, c, transactionTo(t, "a@one.example"))
	if server.Messages()[0].TLS == nil {
		t.Error("in the clear")
	}
	_, plain := testmx.Start(t, testmx.Options{})
	_, err := tryDial(t, plain, Options{ImplicitTLS: true})
	if e := failure(t, err, STARTTLS); !errors.Is(e, ErrHandshake) || e.Scope != mail.ScopeSite {
		t.Errorf("%+v", e)
	}
}

// TestSTARTTLSInjection is the plaintext injection of RFC 3207 section 6's
// kind: replies sent in the clear must not be read under TLS.
func TestSTARTTLSInjection(t *testing.T) {
	l := scripted(t, "220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n")
	_, err := tryDial(t, tcpAddr(l), Options{})
	if e := failure(t, err, STARTTLS); !errors.Is(e, ErrReply) {
		t.Error(e)
	}
}

func TestExtensionsOfTheClearAreForgotten(t *testing.T) {
	config, _ := certificate(t, "mx.test")
	_, addr := testmx.Start(t, testmx.Options{TLSConfig: config, Rules: []testmx.Rule{
		{Command: testmx.EHLO, Nth: 2, Action: testmx.Action{Reply: "250-mx.test\n250 SIZE 99"}},
	}})
	c := dial(t, addr, Options{})
	if e := c.Extensions(); c.TLS() == nil || e.Pipelining || e.DSN || e.Size != 99 {
		t.Errorf("%+v", e)
	}
}

func TestAuth(t *testing.T) {
	long := string(slices.Repeat([]byte("x"), 400))
	accounts := map[string]string{"user": "secret", "long": long}
	for name, test := range map[string]struct {
		ehlo, user, password string
		code                 int
	}{
		"plain":                 {"", "user", "secret", 0},
		"wrong":                 {"", "user", "guess", 535},
		"login":                 {"250-x\n250 AUTH LOGIN", "user", "secret", 0},
		"login wrong":           {"250-x\n250 AUTH LOGIN", "user", "guess", 535},
		"too long for one line": {"", "long", long, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := testmx.Options{Accounts: accounts}
			if test.ehlo != "" {
				o.Rules = []testmx.Rule{rule(testmx.EHLO, "", test.ehlo)}
			}
			server, addr := testmx.Start(t, o)
			c, err := tryDial(t, addr, Options{Username: test.user, Password: test.password})
			if test.code != 0 {
				if e := failure(t, err, AUTH); e.Reply.Code != test.code || e.Scope != mail.ScopeSite {
					t.Errorf("%+v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, transactionTo(t, "a@one.example"))
			if got := server.Messages()[0].User; got != test.user {
				t.Errorf("logged in as %q", got)
			}
		})
	}
}

func TestAuthNotOffered(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{})
	_, err := tryDial(t, addr, Options{Username: "user", Password: "secret"})
	if e := failure(t, err, AUTH); !errors.Is(e, ErrAuth) {
		t.Error(e)
	}
}

func TestAuthNeverInTheClearToStrangers(t *testing.T) {
	near, far := net.Pipe() // its addresses are not on loopback
	defer far.Close()
	heard := make(chan string)
	go func() {
		play(far, []string{"220 x\r\n", "250-x\r\n250 AUTH PLAIN LOGIN\r\n"})
		close(heard)
	}()
	c := newClient(near, "x", Options{LocalName: "x", Username: "user", Password: "secret", Timeouts: Timeouts{}.withDefaults()})
	if e := failure(t, c.open(t.Context()), AUTH); !errors.Is(e, ErrAuth) {
		t.Error(e)
	}
	<-heard
}

func TestCancelledBeforeAndDuring(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.Content, Action: testmx.Action{Delay: time.Hour}},
	}})
	gone := errors.New("the caller is gone")
	before, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	_, err := Dial(before, addr, "mx.test", Options{})
	if e := failure(t, err, Connect); e.Scope != mail.ScopeSession || !errors.Is(e, gone) {
		t.Errorf("%+v", e)
	}
	c := dial(t, addr, Options{})
	during, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(gone) })
	answers, err := c.Send(during, transactionTo(t, "a@one.example"))
	if e := failure(t, err, Final); !errors.Is(e, gone) || codes(answers) != "-" {
		t.Errorf("%v %s", e, codes(answers))
	}
}

func TestCloseInterrupts(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.MAIL, Action: testmx.Action{Delay: time.Hour}},
	}})
	c := dial(t, addr, Options{})
	time.AfterFunc(10*time.Millisecond, func() { _ = c.Close() })
	_, err := c.Send(t.Context(), transactionTo(t, "a@one.example"))
	if e := failure(t, err, MAIL); !errors.Is(e, ErrClosed) || e.Scope != mail.ScopeSession {
		t.Errorf("%+v", e)
	}
}

func TestQuit(t *testing.T) {
	for name, r := range map[string]testmx.Rule{
		"good":    {Command: testmx.QUIT},
		"closed":  {Command: testmx.QUIT, Action: testmx.Action{Drop: true}},
		"refused": rule(testmx.QUIT, "", "500 what"),
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{r}})
			c := dial(t, addr, Options{})
			if err := c.Quit(t.Context()); (err != nil) != r.Drop {
				t.Errorf("quit: %v", err)
			}
			_, err := c.Send(t.Context(), transactionTo(t, "a@one.example"))
			if !r.Drop && !errors.Is(err, ErrClosed) {
				t.Errorf("then: %v", err)
			}
		})
	}
}

func TestReset(t *testing.T) {
	_, addr := testmx.Start(t, testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RSET, Nth: 2, Action: testmx.Action{Reply: "451 4.3.0 what"}},
	}})
	c := dial(t, addr, Options{})
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := failure(t, c.Reset(t.Context()), RSET); e.Reply.Code != 451 || e.Scope != mail.ScopeSession {
		t.Errorf("%+v", e)
	}
}
