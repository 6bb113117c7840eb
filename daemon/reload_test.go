package daemon

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
)

// reloadable has one of everything that a reload reads.
const reloadable = `
hostname = "mail.example.com"
data_dir = "data"
[[listener]]
name = "submission"
address = "127.0.0.1:0"
tls = "implicit"
certificate = "a.crt"
key = "a.key"
[[listener]]
name = "trusted"
address = "unix:trusted.sock"
tenant = "shop"
[[tenant]]
name = "shop"
[[route]]
match = "*"
via = "127.0.0.1:9"
username = "u"
password_file = "relay"
[admin]
http = ""
`

func newReloadable(t *testing.T) (*site, *daemon) {
	t.Helper()
	s := newSite(t, reloadable)
	s.certificate("a", "a.example.com")
	s.certificate("b", "b.example.com")
	s.write("relay", "secret")
	d, _ := s.started()
	return s, d
}

// live is all that a reload replaces.
type live struct {
	config   *config.Config
	accounts *accountSnapshot
	signer   any
	router   *sharedRouter
	keys     any
}

func (d *daemon) live() live {
	return live{d.config.Load(), d.accounts.current.Load(), d.signer.current.Load(), d.router.current, d.keys.current.Load()}
}

// TestReloadFails proves that whatever keeps a reload from happening, nothing
// has changed.
func TestReloadFails(t *testing.T) {
	s, d := newReloadable(t)
	before := d.live()
	for want, text := range map[string]string{
		"limits.connections: ":            reloadable + "[limits]\nconnections = 0\n",
		"unknown key":                     reloadable + "[nothing]\n",
		"dkim a.example: ":                reloadable + "[[dkim]]\ndomain=\"a.example\"\nselector=\"s\"\nkey=\"relay\"\n",
		"private key does not match":      replaced(reloadable, "a.key", "b.key"),
		"none.crt":                        replaced(reloadable, "a.crt", "none.crt"),
		"listener trusted takes mail for": replaced(reloadable, `tenant = "shop"`, `tenant = "store"`, `name = "shop"`, `name = "store"`),
	} {
		s.write("postrider.toml", text)
		contains(t, d.reload(context.Background()), want)
		if after := d.live(); after != before {
			t.Errorf("%s: something has changed", want)
		}
	}
	s.write("postrider.toml", reloadable)
	if err := os.Remove(s.path("relay")); err != nil {
		t.Fatal(err)
	}
	contains(t, d.reload(context.Background()), "relay")
	if after := d.live(); after != before {
		t.Error("something has changed")
	}
}

// TestReload proves what changes at once, what stays as it was, and that all
// of the latter is named, at each reload anew.
func TestReload(t *testing.T) {
	s, d := newReloadable(t)
	changed := replaced(reloadable,
		"a.crt", "b.crt", "a.key", "b.key",
		`data_dir = "data"`, `data_dir = "elsewhere"`,
		`"unix:trusted.sock"`, `"unix:other.sock"`) +
		"[[tenant]]\nname = \"second\"\n[log]\nlevel = \"warn\"\n[events]\nretention = \"2d\"\n" +
		"[queue]\nmax_age = \"1h\"\n[delivery]\nehlo_name = \"other.example.com\"\ndrain_timeout = \"1s\"\n" +
		"[delivery.timeouts]\nfinal = \"1m\"\n[limits]\npassword_hashing = 7\n"
	s.write("postrider.toml", changed)
	want := "[admin.socket data_dir delivery.drain_timeout delivery.ehlo_name delivery.timeouts.final limits.password_hashing listener queue.max_age tracking.keys]"
	for range 2 {
		waiting, err := d.reloaded(s)
		if err != nil {
			t.Fatal(err)
		}
		if waiting != want {
			t.Errorf("waits for a restart: %s\ninstead of %s", waiting, want)
		}
	}
	if _, ok := d.accounts.Tenant("second"); !ok {
		t.Error("the new tenant is not there")
	}
	if age := d.accounts.current.Load().tenants["second"].Streams["marketing"].MaxAge; age != 5*24*time.Hour {
		t.Errorf("the queue's max_age changed without the queue: %v", age)
	}
	c := d.config.Load()
	if c.Events.Retention != 48*time.Hour || c.DataDir != s.path("data") || c.Delivery.DrainTimeout != 30*time.Second {
		t.Errorf("%v %v %v", c.Events.Retention, c.DataDir, c.Delivery.DrainTimeout)
	}
	if d.level.Level() != slog.LevelWarn {
		t.Errorf("level %v", d.level.Level())
	}
	if got := d.certificateName(t); got != "b.example.com" {
		t.Errorf("serves the certificate of %s", got)
	}
}

// reloaded reloads and returns which keys were said to wait.
func (d *daemon) reloaded(s *site) (string, error) {
	c, err := config.Load(s.file)
	if err != nil {
		return "", err
	}
	keys := config.NeedsRestart(d.begun, c)
	slices.Sort(keys)
	return "[" + strings.Join(keys, " ") + "]", d.reload(context.Background())
}

// certificateName is the host that the TLS listener proves to be.
func (d *daemon) certificateName(t *testing.T) string {
	t.Helper()
	connection, err := tls.Dial("tcp", d.submission.Addresses()[0].String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// TestReloadRemovesListener proves that a listener that the file does not have
// any more goes on with what it has, until the restart.
func TestReloadRemovesListener(t *testing.T) {
	s, d := newReloadable(t)
	s.write("postrider.toml", replaced(reloadable, `name = "submission"`, `name = "renamed"`))
	if waiting, err := d.reloaded(s); err != nil || waiting != "[listener]" {
		t.Errorf("%s, %v", waiting, err)
	}
	if got := d.certificateName(t); got != "a.example.com" {
		t.Errorf("serves the certificate of %s", got)
	}
}

// TestReloadUnderLoad reloads, by both ways, while mail comes in, is routed
// and links are asked for.
func TestReloadUnderLoad(t *testing.T) {
	s, d := newReloadable(t)
	client, ctx := s.client(), context.Background()
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 20 {
				_, err := client.Send(ctx, api.SendRequest{From: "a@example.com", To: []string{"b@example.net"}, Message: []byte(letter)})
				if err != nil {
					t.Errorf("send: %v", err)
				}
				if _, err := client.Sites(ctx); err != nil {
					t.Errorf("sites: %v", err)
				}
			}
		})
	}
	for i := range 10 {
		s.write("postrider.toml", reloadable+[]string{"", "[limits]\nconnections = 1\n[delivery]\nconnections_per_site = 1\n"}[i%2])
		if err := client.Reload(ctx); err != nil {
			t.Errorf("reload: %v", err)
		}
		if err := d.reload(ctx); err != nil {
			t.Errorf("reload: %v", err)
		}
	}
	work.Wait()
	if got := d.store.Stats().Messages; got != 80 {
		t.Errorf("%d messages of 80", got)
	}
	if d.submission.Addresses()[1].(*net.UnixAddr).Name != s.path("trusted.sock") {
		t.Error("the listeners changed")
	}
}
