package main

import (
	"fmt"
	"strconv"
)

const (
	senderDomain = "bench.example"
	sender       = "news@" + senderDomain
	selector     = "bench"
	// probeDomain takes the one message that is looked into.
	probeDomain  = "probe.example"
	probeAddress = "127.0.0.100"
)

// job is one kind of work: what is sent to whom.
type job struct {
	name    string
	domains int
	// signed asks for an RSA-2048 signature, and of the daemon for tracking.
	signed bool
}

func jobs() []job {
	return []job{
		{name: "plain-1", domains: 1},
		{name: "plain-20", domains: 20},
		{name: "signed-1", domains: 1, signed: true},
		{name: "signed-20", domains: 20, signed: true},
	}
}

func (j job) String() string {
	text := strconv.Itoa(j.domains) + " domain"
	if j.domains > 1 {
		text += "s"
	}
	if j.signed {
		text += ", signed"
	}
	return text
}

// destination is a domain and its one exchanger's address.
type destination struct{ domain, address string }

// destinations have an address each, so that no server can join them.
func (j job) destinations() []destination {
	var all []destination
	for i := range j.domains {
		all = append(all, destination{fmt.Sprintf("d%02d.example", i+1), fmt.Sprintf("127.0.0.%d", i+2)})
	}
	return all
}

func (j job) domainNames() []string {
	var names []string
	for _, d := range j.destinations() {
		names = append(names, d.domain)
	}
	return names
}

func (j job) sinkPlan() sinkPlan {
	plan := sinkPlan{Probe: probeAddress}
	for _, d := range j.destinations() {
		plan.Addresses = append(plan.Addresses, d.address)
	}
	return plan
}
