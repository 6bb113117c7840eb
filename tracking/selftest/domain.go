package selftest

import (
	"math/rand/v2"
	"time"
)

const (
	// interval is between the probes of a domain, and retryFirst after its first
	// failure; then each pause is twice as long as the one before.
	interval   = time.Minute
	retryFirst = time.Second
	// doubt bounds the pauses while it is not decided whether a domain that
	// worked has failed.
	doubt = 20 * time.Second
	// FailFor and FailTimes are how long and how often in a row a domain that
	// worked must fail before it is used no longer.
	FailFor   = 2 * time.Minute
	FailTimes = 3
	// Grace is how long mail waits for the first success of a domain, from its
	// first probe on.
	Grace = 5 * time.Second
	// soon is how long before its end a certificate should be another one.
	soon = 7 * 24 * time.Hour
)

// Status is what is known of a domain.
type Status string

const (
	// Untested: no probe has come back yet.
	Untested Status = "untested"
	// Working: the domain may be used. It may have failed a moment ago.
	Working Status = "working"
	// Failing: the domain may not be used.
	Failing Status = "failing"
)

// State is what probes found out about a domain.
type State struct {
	// URL is the base of the domain's links.
	URL    string
	Status Status
	// Since is when the status began.
	Since time.Time
	// Probed and Succeeded are the times of the last probe and of the last one
	// that succeeded; zero for none.
	Probed, Succeeded time.Time
	// Failure is what the last probe failed with, in words, and Failures how
	// many did in a row.
	Failure  string
	Failures int
	// CertificateEnds is when the certificate expires; zero where none was
	// seen.
	CertificateEnds time.Time
}

// domain is one base URL under test. Domains.mutex guards it.
type domain struct {
	state State
	// begun is when its probes began, zero before, and failing when the failures
	// in a row did.
	begun, failing time.Time
	// good is closed at the first success.
	good chan struct{}
	// now asks for a probe at once.
	now chan struct{}
	// stop ends its probes; nil before they begin.
	stop func()
	// warned says that the end of its certificate was told of.
	warned time.Time
}

func newDomain(url string, now time.Time) *domain {
	return &domain{
		state: State{URL: url, Status: Untested, Since: now},
		good:  make(chan struct{}), now: make(chan struct{}, 1),
	}
}

// grace is how long mail still waits for the first success.
func (d *domain) grace(now time.Time) time.Duration {
	if d.begun.IsZero() {
		return Grace
	}
	return Grace - now.Sub(d.begun)
}

// turn notes a probe, and reports whether the status became another one.
func (d *domain) turn(answer Answer, err error, now time.Time) bool {
	before := d.state.Status
	d.state.Probed = now
	if !answer.CertificateEnds.IsZero() {
		d.state.CertificateEnds = answer.CertificateEnds
	}
	if err == nil {
		d.state.Succeeded, d.state.Failure, d.state.Failures = now, "", 0
		d.become(Working, now)
		return before != Working
	}
	if d.state.Failures == 0 {
		d.failing = now
	}
	d.state.Failure = err.Error()
	d.state.Failures++
	if before == Untested || d.state.Failures >= FailTimes && now.Sub(d.failing) >= FailFor {
		d.become(Failing, now)
	}
	return before != d.state.Status
}

func (d *domain) become(status Status, now time.Time) {
	if d.state.Status == status {
		return
	}
	d.state.Status, d.state.Since = status, now
	if status == Working {
		select {
		case <-d.good:
		default:
			close(d.good)
		}
	}
}

// pause is how long until the next probe, spread by a fifth, so that those of
// many domains do not come together.
func (d *domain) pause() time.Duration {
	pause := interval
	if n := d.state.Failures; n > 0 && n < 16 {
		pause = min(retryFirst<<(n-1), interval)
	}
	if d.state.Failures > 0 && d.state.Status == Working {
		pause = min(pause, doubt)
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}
