package sink

import (
	"io"
	"net/netip"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// Options of Run.
type Options struct {
	// Listen are the addresses to take mail on, as host:port; port 0 takes a
	// free one. Empty for 127.0.0.1:2525.
	Listen []string
	// Hostname greets, and names the self-signed certificate of STARTTLS;
	// empty for "sink.invalid".
	Hostname string
	// ImplicitTLS begins every connection with a TLS handshake.
	ImplicitTLS bool
	// Rules are faults and extensions turned off, each in the syntax of
	// ParseRules.
	Rules []string
	// RulesFile holds more of them, one a line; empty for none.
	RulesFile string
	// Seed makes rules with a probability repeatable.
	Seed uint64
	// MaxSize of a message in octets; zero for no limit.
	MaxSize int64
	// Accounts by user name hold passwords for AUTH; nil offers none.
	Accounts map[string]string
	// Keep is a directory for messages, made if it is absent: NNNNNNNN.eml is
	// the message, NNNNNNNN.json its envelope, written last. Empty keeps
	// none. Numbers go on behind those already there.
	Keep string
	// OnMessage, if set, gets each message before it is answered, from many
	// goroutines; an error refuses it with 451.
	OnMessage func(*testmx.Message) error
	// StatsInterval prints a line of counters so often; zero for never.
	StatsInterval time.Duration
	// StatsListen is a loopback address, host:port, where GET /counters
	// answers with the counters as JSON; empty for none.
	StatsListen string
	// Output gets what Run prints: where it listens, counters, the summary;
	// nil for nowhere.
	Output io.Writer
	// Ready, if set, is called once everything listens.
	Ready func(Listening)
}

// Listening says where a running sink can be reached.
type Listening struct {
	// Mail in the order of Options.Listen.
	Mail []netip.AddrPort
	// Stats is invalid where there is no such listener.
	Stats netip.AddrPort
}

func (o Options) withDefaults() Options {
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:2525"}
	}
	if o.Hostname == "" {
		o.Hostname = "sink.invalid"
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	return o
}
