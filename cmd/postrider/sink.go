package main

import (
	"time"

	"github.com/postrider-mta/postrider/daemon/sink"
)

type sinkCommand struct {
	Listen        []string      `help:"Address to take mail on; may be repeated." default:"127.0.0.1:2526" placeholder:"HOST:PORT"`
	Hostname      string        `help:"Name in the greeting." default:"sink.invalid" placeholder:"NAME"`
	Keep          string        `help:"Keep each message and its envelope in this folder." placeholder:"DIR"`
	Rule          []string      `help:"Fault to play, such as 'rcpt:@defer.example=451 4.2.1 later;times=1'; may be repeated." placeholder:"RULE" sep:"none"`
	Rules         string        `help:"File of rules, one a line." placeholder:"FILE"`
	Seed          uint64        `help:"Makes rules with a probability repeatable." placeholder:"N"`
	MaxSize       int64         `help:"Largest message in octets; 0 for no limit." placeholder:"N"`
	ImplicitTLS   bool          `help:"Begin with a TLS handshake." name:"implicit-tls"`
	StatsInterval time.Duration `help:"Print counters this often." placeholder:"DURATION"`
	StatsListen   string        `help:"Serve the counters as JSON at /counters on this loopback address." placeholder:"HOST:PORT"`
}

func (c sinkCommand) Run(e *environment) error {
	return sink.Run(e.ctx, sink.Options{
		Listen: c.Listen, Hostname: c.Hostname, ImplicitTLS: c.ImplicitTLS,
		Rules: c.Rule, RulesFile: c.Rules, Seed: c.Seed, MaxSize: c.MaxSize,
		Keep: c.Keep, StatsInterval: c.StatsInterval, StatsListen: c.StatsListen, Output: e.out,
	})
}
