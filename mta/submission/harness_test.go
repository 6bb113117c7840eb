package submission

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store.
type memory struct {
	mu       sync.Mutex
	accepted []queue.Submission
	fail     error
	hold     chan struct{} // Accept waits for it if not nil
	entered  chan struct{}
}

func (m *memory) Accept(ctx context.Context, s *queue.Submission) error {
	if m.hold != nil {
		m.entered <- struct{}{}
		select {
		case <-m.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	kept := *s
	kept.Body = bytes.Clone(s.Body)
	m.accepted = append(m.accepted, kept)
	return nil
}

// Usage counts all that was ever accepted.
func (m *memory) Usage(tenant string) queue.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	var u queue.Usage
	for _, s := range m.accepted {
		if s.Message.Tenant == tenant {
			u.Messages++
			u.Bytes += s.Message.Size
		}
	}
	return u
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accepted)
}

func (m *memory) last(t testing.TB) queue.Submission {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.accepted) == 0 {
		t.Fatal("nothing was accepted")
	}
	return m.accepted[len(m.accepted)-1]
}

// directory is an account.Directory.
type directory struct {
	tenants     map[string]account.Tenant
	credentials map[string]account.Credential
}

func (d directory) Tenant(name string) (account.Tenant, bool) {
	t, ok := d.tenants[name]
	return t, ok
}

func (d directory) Credential(username string) (account.Credential, bool) {
	c, ok := d.credentials[username]
	return c, ok
}

// secret is the password of every credential; hashed costs little to verify.
const (
	secret = "password"
	hashed = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)

func accounts() directory {
	streams := map[string]account.Stream{
		account.Transactional: {Name: account.Transactional, MaxAge: time.Hour},
		account.Marketing:     {Name: account.Marketing, Track: account.TrackAll, Unsubscribe: true},
	}
	return directory{
		tenants: map[string]account.Tenant{
			"acme":   {Name: "acme", Streams: streams, DefaultStream: account.Transactional, Pools: []string{"fast", "slow"}},
			"hidden": {Name: "hidden", Streams: streams, DefaultStream: account.Transactional, HideClient: true},
		},
		credentials: map[string]account.Credential{
			"app":   {Username: "app", Tenant: "acme", PasswordHash: hashed, FromDomains: []mail.Domain{"example.com"}},
			"quiet": {Username: "quiet", Tenant: "hidden", PasswordHash: hashed, FromDomains: []mail.Domain{"example.com"}},
			"bad":   {Username: "bad", Tenant: "acme", PasswordHash: "secret", FromDomains: []mail.Domain{"example.com"}},
		},
	}
}

// loopback is what tests connect from.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// fixture is a running server.
type fixture struct {
	t      testing.TB
	server *Server
	store  *memory
}

// trusted is a listener on which loopback submits without AUTH for acme.
func trusted() Listener {
	return Listener{
		Name: "trusted", Address: "127.0.0.1:0", TrustedNetworks: loopback(), Tenant: "acme",
		FromDomains: []mail.Domain{"example.com"},
	}
}

func options(listeners ...Listener) Options {
	return Options{
		Hostname: "mx.test", Accounts: accounts(), Listeners: listeners,
		Limits: Limits{AuthDelay: time.Millisecond},
	}
}

func start(t testing.TB, o Options) *fixture {
	t.Helper()
	f := &fixture{t: t, store: &memory{}}
	if o.Store == nil {
		o.Store = f.store
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.server = server
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ctx)
		if err := <-done; err != nil && err != ErrClosed {
			t.Error(err)
		}
	})
	return f
}

func startTrusted(t testing.TB) *fixture { return start(t, options(trusted())) }

// client speaks raw bytes.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (f *fixture) address(i int) string { return f.server.Addresses()[i].String() }

// dial connects to a listener without reading the greeting.
func (f *fixture) dial(i int) *client {
	f.t.Helper()
	a := f.server.Addresses()[i]
	conn, err := net.Dial(a.Network(), a.String())
	if err != nil {
		f.t.Fatal(err)
	}
	return newClient(f.t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// greeted connects, and says EHLO.
func (f *fixture) greeted(i int) *client {
	f.t.Helper()
	c := f.dial(i)
	c.expect("220")
	c.say("EHLO client.example", "250")
	return c
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, raw); err != nil {
		c.t.Fatalf("cannot send %.60q: %v", raw, err)
	}
}

// reply reads one reply, lines joined by \n.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("no reply: %v, after %q %q", err, lines, line)
		}
		if !strings.HasSuffix(line, "\r\n") || len(line) < 6 {
			c.t.Fatalf("malformed reply %q", line)
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// expect reads one reply that begins with want.
func (c *client) expect(want string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, want) {
		c.t.Fatalf("reply %q, want %q", got, want)
	}
	return got
}

// say sends a line and expects a reply.
func (c *client) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	got := c.reply()
	if !strings.HasPrefix(got, want) {
		c.t.Fatalf("%.80q: reply %q, want %q", line, got, want)
	}
	return got
}

// closed expects the end of the connection and nothing before it.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if len(rest) > 0 {
		c.t.Fatalf("more replies: %q", rest)
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatal("the connection stays open")
	}
}

func (c *client) envelope() {
	c.t.Helper()
	c.say("MAIL FROM:<sender@example.com>", "250 2.1.0")
	c.say("RCPT TO:<rcpt@example.net>", "250 2.1.5")
}

// message sends one by DATA and expects a reply.
func (c *client) message(content, want string) string {
	c.t.Helper()
	c.envelope()
	c.say("DATA", "354")
	return c.say(content+"\r\n.", want)
}

func plainResponse(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))
}

const simple = "From: Sender <sender@example.com>\r\nSubject: hi\r\n\r\nHello."

// certificate makes a TLS configuration and the pool that trusts it.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool, ServerName: "mx.test"}
}

// starttls upgrades a client that has been greeted.
func (c *client) starttls(config *tls.Config) *client {
	c.t.Helper()
	c.say("STARTTLS", "220")
	conn := tls.Client(c.conn, config)
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return newClient(c.t, conn)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
