package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/postrider-mta/postrider/bench/peer"
	"github.com/postrider-mta/postrider/test/harness"
)

// postfix is the peer: a private, tuned instance of what is installed.
type postfix struct {
	sessions int
	key      *signingKey
	// paths of the programs; empty for what is missing.
	postfix, postconf, opendkim string
	// daemons is the folder of Postfix's own programs.
	daemons string
	// missing says why there is no Postfix here.
	missing string
}

var _ system = (*postfix)(nil)

// findPostfix looks what is installed. Nothing is ever installed here.
func findPostfix(ctx context.Context, sessions int, key *signingKey) *postfix {
	p := &postfix{sessions: sessions, key: key}
	p.postfix, p.postconf, p.opendkim = peer.Find("postfix"), peer.Find("postconf"), peer.Find("opendkim")
	switch {
	case p.postfix == "" || p.postconf == "":
		p.missing = "Postfix is not installed"
	case os.Geteuid() != 0:
		p.missing = "Postfix starts for root only"
	default:
		p.daemons = p.ask(ctx, "-dh", "daemon_directory")
	}
	return p
}

func (p *postfix) ask(ctx context.Context, arguments ...string) string {
	out, err := exec.CommandContext(ctx, p.postconf, arguments...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (p *postfix) name() string { return "postfix" }

// version names what is compared with.
func (p *postfix) version(ctx context.Context) string {
	if p.missing != "" {
		return "no peer: " + p.missing
	}
	text := "Postfix " + p.ask(ctx, "-h", "mail_version")
	if p.opendkim == "" {
		return text + ", OpenDKIM is not installed"
	}
	// It prints its version as "opendkim: OpenDKIM Filter v2.11.0" and more.
	out, _ := exec.CommandContext(ctx, p.opendkim, "-V").CombinedOutput()
	_, version, _ := strings.Cut(firstLine(string(out)), "Filter ")
	return text + ", OpenDKIM " + version
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (p *postfix) can(j job) (bool, string) {
	if p.missing != "" {
		return false, p.missing
	}
	if j.signed && p.opendkim == "" {
		return false, "OpenDKIM is not installed"
	}
	return true, ""
}

func (p *postfix) header(job) string { return "" }

func (p *postfix) check(j job, message []byte) error {
	if !j.signed {
		return nil
	}
	return p.key.verify(message)
}

func (p *postfix) start(ctx context.Context, dir string, j job, sinkPort int) (_ instance, err error) {
	addresses, err := harness.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	run := &postfixRun{submission: addresses[0], queue: filepath.Join(dir, "queue")}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.stop())
		}
	}()
	milter := ""
	if j.signed {
		milter = addresses[1]
		if run.signer, err = p.startOpenDKIM(ctx, dir, milter); err != nil {
			return nil, err
		}
	}
	config, err := p.write(ctx, dir, j, run.submission, milter, sinkPort)
	if err != nil {
		return nil, err
	}
	// Not with ctx: a start that is cut short could leave a master behind.
	out, err := exec.Command(p.postfix, "-c", config, "start").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("start Postfix: %w: %s", err, out)
	}
	if run.master, err = peer.PostfixMaster(run.queue); err != nil {
		return nil, err
	}
	return run, peer.AwaitListener(ctx, run.submission)
}
