package submission

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission/password"
)

// corpus returns the folder of test material, or skips.
func corpus(t *testing.T) string {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	for dir, _ := filepath.Abs("."); root == ""; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			root = filepath.Join(dir, "..", "shared", "corpus")
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	folder := filepath.Join(root, "smtp")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no test material in %s", folder)
	}
	return folder
}

func readCorpus(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(corpus(t), name))
	if err != nil {
		t.Skip(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestCorpusSmuggling(t *testing.T) {
	var cases []struct {
		Bytes []byte `json:"bytes_b64"`
		Real  bool   `json:"contains_real_eod"`
	}
	readCorpus(t, "smuggling.json", &cases)
	f := startTrusted(t)
	for _, test := range cases {
		c := f.greeted(0)
		c.envelope()
		c.say("DATA", "354")
		c.send(simple + string(test.Bytes))
		if !test.Real {
			c.send("MAIL FROM:<smuggled@example.com>\r\nRCPT TO:<x@example.net>\r\nDATA\r\nx\r\n.\r\n")
		}
		reply := c.reply()
		if bare := strings.HasPrefix(reply, "250"); bare && !test.Real {
			body := f.store.last(t).Body
			if !strings.Contains(string(body), "smuggled") {
				t.Errorf("%q ended the message", test.Bytes)
			}
		}
		if !test.Real { // nothing of it was executed: the next reply is this one's
			c.say("VRFY x", "252")
		}
		c.conn.Close()
	}
}

func TestCorpusAddresses(t *testing.T) {
	var cases []struct{ ID, Address, Category, Diagnosis string }
	readCorpus(t, "addresses.json", &cases)
	f := startTrusted(t)
	for _, test := range cases {
		if strings.ContainsAny(test.Address, "\r\n") {
			continue // cannot be said in one command
		}
		c := f.greeted(0)
		c.say("MAIL FROM:<sender@example.com> SMTPUTF8", "250")
		c.send("RCPT TO:<" + test.Address + ">\r\n")
		reply := c.reply()
		accepted := strings.HasPrefix(reply, "250")
		switch test.Category {
		case "ISEMAIL_ERR":
			if accepted {
				t.Errorf("%s %q: accepted, %s", test.ID, test.Address, test.Diagnosis)
			}
		case "ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321":
			if !accepted {
				t.Errorf("%s %q: %q, %s", test.ID, test.Address, reply, test.Diagnosis)
			}
		}
		if strings.HasSuffix(test.Diagnosis, "TOOLONG") && accepted {
			t.Errorf("%s %q: accepted, %s", test.ID, test.Address, test.Diagnosis)
		}
		c.conn.Close()
	}
}

// dialog plays recorded dialogs. Codes are compared by their first digit: the
// rest differs between servers.
type dialog struct {
	t       *testing.T
	f       *fixture
	tls     *tls.Config
	current *client
	outside bool // come from a network without trust
}

func (d *dialog) connect(implicit bool) {
	if d.current != nil {
		d.current.conn.Close()
	}
	listener := 0
	if implicit {
		listener = 1
	}
	conn, err := net.Dial("tcp", d.f.address(listener))
	if err != nil {
		d.t.Fatal(err)
	}
	address := "198.51.100.1"
	if d.outside {
		address = "192.0.2.1"
	}
	fmt.Fprintf(conn, "PROXY TCP4 %s 203.0.113.1 4000 587\r\n", address)
	if implicit {
		conn = tls.Client(conn, d.tls)
	}
	d.current = newClient(d.t, conn)
}

func (d *dialog) expect(code string) {
	d.t.Helper()
	if got := d.current.reply(); got[0] != code[0] {
		d.t.Errorf("reply %q, want %s", got, code)
	}
}

// send sends one line.
func (d *dialog) send(line string) {
	d.current.send(line + "\r\n")
}

func (d *dialog) chasquid(script string) {
	d.outside = strings.Contains(script, "tcp_connect") && strings.Contains(script, "AUTH")
	code := regexp.MustCompile(`^\d{3}`)
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		switch rest, _ := strings.CutPrefix(line, "c "); {
		case strings.HasPrefix(rest, "tcp_connect"), strings.HasPrefix(rest, "tls_connect"):
			d.connect(strings.HasPrefix(rest, "tls"))
		case strings.HasPrefix(rest, "->"):
			d.send(strings.TrimPrefix(strings.TrimPrefix(rest, "->"), " "))
		case strings.HasPrefix(rest, "~>"):
			text := strings.Trim(strings.TrimSpace(rest[2:]), "'")
			text, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
			if err != nil {
				d.t.Skip(err)
			}
			d.current.send(text)
		case strings.HasPrefix(rest, "<"):
			want := strings.TrimLeft(rest, "<~-. ")
			if code.MatchString(want) {
				d.expect(want)
			}
		}
	}
}

// james adds a From to the messages, which submission asks for.
func (d *dialog) james(script string) {
	d.connect(false)
	inData, from := false, false
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		if text, ok := strings.CutPrefix(line, "C:"); ok {
			text = strings.TrimPrefix(text, " ")
			if inData && !from {
				d.send("From: matthieu@yopmail.com")
				from = true
			}
			d.send(text)
			inData = inData && text != "."
			continue
		}
		text, ok := strings.CutPrefix(line, "S: ")
		if !ok || len(text) < 4 || text[3] != ' ' {
			continue // a line that another follows
		}
		inData = inData || strings.HasPrefix(text, "354")
		d.expect(text)
	}
}

func TestCorpusDialogs(t *testing.T) {
	folder := corpus(t)
	serverTLS, clientTLS := certificate(t)
	users := accounts()
	for name, secret := range map[string]string{"user@testserver": "secretpassword", "bob@mydomain.tld": "secret"} {
		users.credentials[name] = account.Credential{
			Username: name, Tenant: "acme", PasswordHash: password.Hash(secret),
			FromDomains: []mail.Domain{"testserver", "mydomain.tld"},
		}
	}
	clear := Listener{
		Name: "clear", Address: "127.0.0.1:0", TLS: TLSStart, TLSConfig: serverTLS, Tenant: "acme", AnyFrom: true,
		ProxyNetworks: loopback(), TrustedNetworks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}
	implicit := clear
	implicit.Name, implicit.TLS = "implicit", TLSImplicit
	o := options(clear, implicit)
	o.Accounts = users
	f := start(t, o)
	files, err := filepath.Glob(filepath.Join(folder, "*__*"))
	if err != nil || len(files) == 0 {
		t.Skip("no dialogs")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := &dialog{t: t, f: f, tls: clientTLS}
			if strings.HasSuffix(file, ".test") {
				d.james(string(raw))
			} else {
				d.chasquid(string(raw))
			}
		})
	}
}
