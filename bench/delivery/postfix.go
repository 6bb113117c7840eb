package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/bench/peer"
	"github.com/postrider-mta/postrider/test/harness"
)

// postfix is the peer: a private instance of what is installed, that sends
// over one connection.
type postfix struct {
	postfix, postconf string
	// missing says why there is none here.
	missing string
}

// findPostfix looks what is installed. Nothing is ever installed here.
func findPostfix(ctx context.Context) *postfix {
	p := &postfix{postfix: peer.Find("postfix"), postconf: peer.Find("postconf")}
	switch {
	case p.postfix == "" || p.postconf == "":
		p.missing = "Postfix is not installed"
	case os.Geteuid() != 0:
		p.missing = "Postfix starts for root only"
	}
	return p
}

func (p *postfix) ask(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, p.postconf, "-h", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// version names what is compared with.
func (p *postfix) version(ctx context.Context) string {
	if p.missing != "" {
		return "no peer: " + p.missing
	}
	return "Postfix " + p.ask(ctx, "mail_version")
}

// start runs an instance that sends everything to target.
func (p *postfix) start(ctx context.Context, dir, target string) (sending, error) {
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		return sending{}, err
	}
	if err := p.write(ctx, dir, addresses[0], target); err != nil {
		return sending{}, err
	}
	// Not with ctx: a start that is cut short could leave a master behind.
	out, err := exec.Command(p.postfix, "-c", filepath.Join(dir, "config"), "start").CombinedOutput()
	if err != nil {
		return sending{}, fmt.Errorf("start Postfix: %w: %s", err, out)
	}
	stop := func() error { return stopPostfix(dir) }
	if err := peer.AwaitListener(ctx, addresses[0]); err != nil {
		return sending{}, errors.Join(err, stop())
	}
	return sending{addresses[0], stop}, nil
}

// write makes the instance's configuration.
func (p *postfix) write(ctx context.Context, dir, submission, target string) error {
	for _, name := range []string{"config", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	owner, err := user.Lookup(p.ask(ctx, "mail_owner"))
	if err != nil {
		return err
	}
	id, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return err
	}
	main := fmt.Sprintf(postfixMain, dir, host, port)
	return errors.Join(
		os.Chown(filepath.Join(dir, "data"), id, -1),
		os.WriteFile(filepath.Join(dir, "config", "main.cf"), []byte(main), 0o644),
		os.WriteFile(filepath.Join(dir, "config", "master.cf"), fmt.Appendf(nil, peer.PostfixServices, submission), 0o644),
	)
}

// postfixMain keeps one connection for all mail, and it open between messages.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
myhostname = mail.bench.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /dev/null
maillog_file_prefixes = /dev
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
relayhost = [%[2]s]:%[3]s
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
in_flow_delay = 0
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
initial_destination_concurrency = 1
default_destination_concurrency_limit = 1
`

// stopPostfix ends the instance whose folder that is.
func stopPostfix(dir string) error {
	master, err := peer.PostfixMaster(filepath.Join(dir, "queue"))
	if err != nil {
		return err
	}
	return peer.StopPostfix(master, stopTime)
}
