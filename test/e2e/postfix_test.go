package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/bench/peer"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// postfixMain relays one domain to its inner server, and finds the way back
// without DNS.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
myhostname = mx.forwarded.example
mydestination =
mynetworks =
relay_domains = forwarded.example
relay_recipient_maps =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /dev/null
maillog_file_prefixes = /dev
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
transport_maps = texthash:%[1]s/config/transport
alias_maps =
alias_database =
local_recipient_maps =
smtpd_tls_security_level = none
smtp_tls_security_level = none
`

// startPostfix runs an instance of what is installed at address; the test is
// skipped where that cannot be.
func (w *world) startPostfix(address, transport string) {
	w.Helper()
	program := peer.Find("postfix")
	account, err := user.Lookup("postfix")
	if program == "" || err != nil || os.Geteuid() != 0 {
		w.Skip("Postfix is not installed, or this is not root, who alone may start it")
	}
	dir, err := os.MkdirTemp("", "postrider-postfix-") // its users must get there
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "config")
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		w.Fatal(err)
	}
	for _, folder := range []string{config, filepath.Join(dir, "queue"), filepath.Join(dir, "data")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			w.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "data"), uid, -1); err != nil {
		w.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.cf": fmt.Sprintf(postfixMain, dir), "master.cf": fmt.Sprintf(peer.PostfixServices, address), "transport": transport,
	} {
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o644); err != nil {
			w.Fatal(err)
		}
	}
	// Not with a context: a start that is cut short could leave a master behind.
	if out, err := exec.Command(program, "-c", config, "start").CombinedOutput(); err != nil {
		w.Fatalf("start Postfix: %v: %s", err, out)
	}
	master, err := peer.PostfixMaster(filepath.Join(dir, "queue"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := peer.StopPostfix(master, patience); err != nil {
			w.Error(err)
		}
	})
	if err := peer.AwaitListener(w.ctx, address); err != nil {
		w.Fatal(err)
	}
}

// TestBounceOfPostfix: a real Postfix takes mail, the server behind it refuses
// the recipient, and the report that Postfix sends finds whose it is.
func TestBounceOfPostfix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, inner := w.exchanger(testmx.Options{Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "gone@forwarded.example", Action: testmx.Action{Reply: "550 5.1.1 there is no such user here"}},
		{Command: testmx.RCPT, Pattern: "full@forwarded.example", Action: testmx.Action{Reply: "552 5.2.2 the mailbox is full"}},
		{Command: testmx.RCPT, Pattern: "strict@forwarded.example", Action: testmx.Action{Reply: "550 5.7.1 no such user, says our policy"}},
	}})
	server, bounces := w.bounceServer("bounce.sender.example")
	outer := w.host()
	address := net.JoinHostPort(outer, fmt.Sprint(w.port))
	bracketed := func(address string) string {
		host, port, _ := strings.Cut(address, ":")
		return "smtp:[" + host + "]:" + port
	}
	w.startPostfix(address, "forwarded.example "+bracketed(net.JoinHostPort(inner.String(), fmt.Sprint(w.port)))+
		"\nbounce.sender.example "+bracketed(server)+"\n")
	w.publish("forwarded.example. 1 MX 10 mx.forwarded.example.", "mx.forwarded.example. 1 A "+outer)
	w.start(settings{rest: bounces})
	id := w.hand(letter(), "gone@forwarded.example", "full@forwarded.example", "strict@forwarded.example", "fine@forwarded.example")
	w.await("Postfix has reported three of four", func() bool {
		return w.count(id, 0, event.Bounced)+w.count(id, 1, event.Bounced)+w.count(id, 2, event.Bounced) == 3
	})
	for index, want := range []string{"gone 550 5.1.1 invalid_recipient", "full 552 5.2.2 mailbox_full", "strict 550 5.7.1"} {
		for _, e := range w.history(id) {
			if e.Type != event.Bounced || e.Index != index {
				continue
			}
			reader, _, _ := strings.Cut(e.Recipient, "@")
			got := fmt.Sprintf("%s %d %s %s", reader, e.Reply.Code, e.Reply.Enhanced, e.Category)
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %+v", got, e)
			}
		}
	}
	w.await("the address that is gone is suppressed", func() bool {
		return strings.Contains(w.run("suppress", "list", "--json"), "gone@forwarded.example")
	})
	if list := w.run("suppress", "list", "--json"); strings.Contains(list, "full@") || strings.Contains(list, "strict@") || strings.Contains(list, "fine@") {
		t.Errorf("suppressed:\n%s", list)
	}
}
