package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/postrider-mta/postrider/bench/load"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// postrider is the daemon as it is delivered, with its defaults.
type postrider struct {
	binary   string
	sessions int
	key      *signingKey
}

var _ system = (*postrider)(nil)

func (p *postrider) name() string { return "postrider" }

func (p *postrider) can(job) (bool, string) { return true, "" }

// header makes a signed job's mail a campaign whose links and opens are
// measured.
func (p *postrider) header(j job) string {
	if !j.signed {
		return ""
	}
	return "X-Postrider-Stream: marketing\r\nX-Postrider-Campaign: november\r\n"
}

func (p *postrider) check(j job, message []byte) error {
	if !j.signed {
		return nil
	}
	if err := p.key.verify(message); err != nil {
		return err
	}
	if n := bytes.Count(message, []byte("/c/")); n < load.Links {
		return fmt.Errorf("only %d of %d links lead to the tracker", n, load.Links)
	}
	return nil
}

func (p *postrider) start(ctx context.Context, dir string, j job, sinkPort int) (_ instance, err error) {
	addresses, err := harness.FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	run := &postriderRun{submission: addresses[0]}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.stop())
		}
	}()
	if run.dns, err = testmx.StartDNS(); err != nil {
		return nil, err
	}
	if err := run.dns.Add(zone(j)...); err != nil {
		return nil, err
	}
	if err := p.key.write(filepath.Join(dir, "bench.pem")); err != nil {
		return nil, err
	}
	configuration := fmt.Sprintf(postriderConfiguration,
		run.submission, p.sessions+10, run.dns.Addr(), sinkPort, addresses[1])
	if j.signed {
		configuration += fmt.Sprintf(signedConfiguration, senderDomain, selector, addresses[2], addresses[2])
	}
	run.daemon, err = harness.Serve(ctx, p.binary, dir, configuration)
	return run, err
}

// zone publishes an exchanger of its own for each domain.
func zone(j job) []string {
	var records []string
	for _, d := range append(j.destinations(), destination{probeDomain, probeAddress}) {
		records = append(records,
			fmt.Sprintf("%s. MX 10 mx.%s.", d.domain, d.domain),
			fmt.Sprintf("mx.%s. A %s", d.domain, d.address))
	}
	return records
}

const postriderConfiguration = `hostname = "mail.bench.example"
data_dir = "data"

[[listener]]
name = "bench"
address = %q
trusted_networks = ["127.0.0.0/8"]
any_from = true

[limits]
connections_per_ip = %d

[log]
level = "warn"

[delivery]
resolvers = [%q]
port = %d
allow_loopback = true

[admin]
http = %q
`

const signedConfiguration = `
[[dkim]]
domain = %q
selector = %q
key = "bench.pem"

[tracking]
listen = %q
url = "http://%s"
`

// postriderRun is one daemon with its name server.
type postriderRun struct {
	submission string
	dns        *testmx.DNS
	daemon     *harness.Daemon
}

func (r *postriderRun) address() string { return r.submission }

func (r *postriderRun) processes() []int { return []int{r.daemon.PID()} }

func (r *postriderRun) settled(ctx context.Context) error { return r.daemon.Settled(ctx) }

func (r *postriderRun) stop() error {
	var errs []error
	if r.daemon != nil {
		errs = append(errs, r.daemon.Stop(stopTime))
	}
	if r.dns != nil {
		errs = append(errs, r.dns.Close())
	}
	return errors.Join(errs...)
}

// version asks the program.
func (p *postrider) version(ctx context.Context) string {
	out, err := harness.Run(ctx, p.binary, "version")
	if err != nil {
		return "postrider"
	}
	return strings.TrimSpace(out)
}
