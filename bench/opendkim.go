package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/postrider-mta/postrider/bench/peer"
	"github.com/postrider-mta/postrider/test/harness"
)

// opendkimUser is whom the package makes for the milter.
const opendkimUser = "opendkim"

// opendkimConfiguration signs as the daemon does, with one RSA key.
const opendkimConfiguration = `Mode s
Socket inet:%s@%s
Domain %s
Selector %s
KeyFile %s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
InternalHosts 127.0.0.0/8
RequireSafeKeys no
Syslog no
Background no
AutoRestart no
`

// startOpenDKIM starts the milter in the foreground.
func (p *postfix) startOpenDKIM(ctx context.Context, dir, address string) (*harness.Program, error) {
	keyFile := filepath.Join(dir, "bench.pem")
	if err := p.key.write(keyFile); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(opendkimConfiguration, port, host, senderDomain, selector, keyFile)
	if uid, gid, err := userIDs(opendkimUser); err == nil {
		text += "UserID " + opendkimUser + "\n"
		if err := os.Chown(keyFile, uid, gid); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "opendkim.conf")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "opendkim.log")
	program, err := harness.Start(p.opendkim, log, "-f", "-x", config)
	if err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ready <- peer.AwaitListener(ctx, address) }()
	select {
	case err = <-ready:
	case <-program.Exited():
		words, _ := os.ReadFile(log)
		err = fmt.Errorf("OpenDKIM ended at once: %s", words)
	}
	if err != nil {
		program.Kill()
		return nil, err
	}
	return program, nil
}

func userIDs(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}
