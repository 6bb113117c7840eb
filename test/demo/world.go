package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

const (
	sender   = "news@harbour-books.example"
	password = "a stove and a lamp"
)

// destination is one domain of readers and how its mail exchanger behaves.
type destination struct {
	domain  string
	readers int
	// rule is the sink's fault, in its own words; empty for none.
	rule  string
	habit string
}

func destinations() []destination {
	return []destination{
		{domain: "garden.example", readers: 300, habit: "takes everything"},
		{domain: "orchard.example", readers: 250, habit: "takes everything"},
		{domain: "quay.example", readers: 200, habit: "takes everything"},
		{domain: "lighthouse.example", readers: 120, habit: "has no MX record, only an address"},
		{
			domain: "cautious.example", readers: 80, habit: "greylists: every reader is deferred once",
			rule: "rcpt:@cautious.example=451 4.7.1 greylisted, try again soon;times=1",
		},
		{
			domain: "moved.example", readers: 45, habit: "knows none of its readers any more",
			rule: "rcpt:@moved.example=550 5.1.1 no such mailbox here",
		},
		{domain: "nomail.example", readers: 5, habit: "says that it takes no mail (null MX)"},
	}
}

// readers of all destinations.
func readers() []string {
	var all []string
	for _, d := range destinations() {
		for i := range d.readers {
			all = append(all, fmt.Sprintf("reader%03d@%s", i, d.domain))
		}
	}
	return all
}

// world is everything around the daemon.
type world struct {
	dns           *testmx.DNS
	sink          *harness.Program
	mailbox       string
	submission    string
	tracker       string
	configuration string
}

func newWorld(ctx context.Context, binary, dir string) (*world, error) {
	addresses, err := harness.FreeAddresses(4)
	if err != nil {
		return nil, err
	}
	w := &world{submission: addresses[0], tracker: addresses[1], mailbox: filepath.Join(dir, "mailbox")}
	exchanger, health := addresses[2], addresses[3]
	if w.dns, err = testmx.StartDNS(); err != nil {
		return nil, err
	}
	if err := w.publish(ctx, binary, dir); err != nil {
		w.close()
		return nil, err
	}
	if err := w.startSink(binary, dir, exchanger); err != nil {
		w.close()
		return nil, err
	}
	hash, err := hashPassword(ctx, binary, dir)
	if err != nil {
		w.close()
		return nil, err
	}
	_, port, err := net.SplitHostPort(exchanger)
	w.configuration = fmt.Sprintf(configurationTemplate, w.submission, hash, w.tracker, w.tracker, w.dns.Addr(), port, health)
	return w, err
}

func (w *world) close() {
	if w.sink != nil {
		w.sink.Kill()
	}
	_ = w.dns.Close()
}

// publish makes the DKIM keys and fills the name server.
func (w *world) publish(ctx context.Context, binary, dir string) error {
	for selector, algorithm := range map[string]string{"rsa": "rsa", "ed": "ed25519"} {
		record, err := harness.Run(ctx, binary, "dkim", "keygen", "harbour-books.example", selector,
			"--algorithm", algorithm, "--out", filepath.Join(dir, selector+".pem"))
		if err != nil {
			return err
		}
		if err := w.dns.Add(lastLine(record)); err != nil {
			return err
		}
	}
	for _, d := range destinations() {
		if err := w.dns.Add(zone(d)...); err != nil {
			return err
		}
	}
	return nil
}

// lastLine is the record itself, below the words about it.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func zone(d destination) []string {
	switch d.domain {
	case "nomail.example":
		return []string{d.domain + ". MX 0 ."}
	case "lighthouse.example":
		return []string{d.domain + ". A 127.0.0.1"}
	default:
		return []string{d.domain + ". MX 10 mx." + d.domain + ".", "mx." + d.domain + ". A 127.0.0.1"}
	}
}

func (w *world) startSink(binary, dir, address string) error {
	arguments := []string{"sink", "--listen", address, "--keep", w.mailbox}
	for _, d := range destinations() {
		if d.rule != "" {
			arguments = append(arguments, "--rule", d.rule)
		}
	}
	var err error
	logFile := filepath.Join(dir, "sink.log")
	if w.sink, err = harness.Start(binary, logFile, arguments...); err != nil {
		return err
	}
	for range 1000 {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-w.sink.Exited():
			log, _ := os.ReadFile(logFile)
			return fmt.Errorf("the sink ended at once:\n%s", log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("the sink does not answer at %s", address)
}

// hashPassword writes the credential's hash to a file and returns its path.
func hashPassword(ctx context.Context, binary, dir string) (string, error) {
	hash, err := harness.RunInput(ctx, password+"\n", binary, "password")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "password.hash")
	return path, os.WriteFile(path, []byte(hash), 0o600)
}

const configurationTemplate = `hostname = "mail.harbour-books.example"
data_dir = "data"

[[listener]]
name = "applications"
address = %q

[[tenant]]
name = "default"

[[tenant.stream]]
name = "marketing"
suppressed = "drop"

[[credential]]
username = "newsletter"
password_hash_file = %q
from_domains = ["harbour-books.example"]

[[dkim]]
domain = "harbour-books.example"
selector = "rsa"
key = "rsa.pem"

[[dkim]]
domain = "harbour-books.example"
selector = "ed"
key = "ed.pem"

[tracking]
listen = %q
url = "http://%s"
record_window = "200ms"
too_soon = "0s"

[queue]
retry_first = "2s"
retry_jitter = 0.2

[delivery]
resolvers = [%q]
port = %s
allow_loopback = true

[admin]
http = %q
`
