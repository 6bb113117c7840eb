package tlsreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
)

// stateVersion is that of the file. A file of another one is set aside.
const stateVersion = 1

// ErrState: the file of the counts cannot be understood.
var ErrState = errors.New("malformed TLS report state")

// state is the file.
type state struct {
	Version int            `json:"version"`
	Day     time.Time      `json:"day"`
	Domains []stateDomain  `json:"domains"`
	Waiting []stateWaiting `json:"waiting"`
}

type stateDomain struct {
	Domain   mail.Domain   `json:"domain"`
	Policies []statePolicy `json:"policies"`
}

type stateWaiting struct {
	stateDomain
	Day      time.Time `json:"day"`
	ID       string    `json:"id"`
	Due      time.Time `json:"due"`
	First    time.Time `json:"first,omitzero"`
	Attempts int       `json:"attempts,omitempty"`
}

type statePolicy struct {
	Type       PolicyType    `json:"type"`
	Domain     mail.Domain   `json:"domain"`
	Strings    []string      `json:"strings,omitempty"`
	MXHosts    []string      `json:"mx_hosts,omitempty"`
	Successful uint64        `json:"successful"`
	Failed     uint64        `json:"failed"`
	Details    []stateDetail `json:"details,omitempty"`
}

type stateDetail struct {
	Result      Result     `json:"result"`
	SendingIP   netip.Addr `json:"sending_ip,omitzero"`
	MXHost      string     `json:"mx_host,omitempty"`
	MXHelo      string     `json:"mx_helo,omitempty"`
	ReceivingIP netip.Addr `json:"receiving_ip,omitzero"`
	Reason      string     `json:"reason,omitempty"`
	Information string     `json:"information,omitempty"`
	Sessions    uint64     `json:"sessions"`
}

// save writes the file if there is something new, and now or by time.
func (r *Reporter) save(now bool) error {
	r.mu.Lock()
	if r.options.Path == "" || !r.dirty || !now && time.Since(r.saved) < r.options.Save {
		r.mu.Unlock()
		return nil
	}
	s := r.snapshot()
	r.dirty, r.saved = false, time.Now()
	r.mu.Unlock()
	data, err := json.Marshal(s)
	if err == nil {
		err = datafolder.Replace(r.options.Path, data)
	}
	if err != nil {
		r.mu.Lock()
		r.dirty = true
		r.mu.Unlock()
	}
	return err
}

// snapshot copies what is kept. The caller holds r.mu.
func (r *Reporter) snapshot() *state {
	s := &state{Version: stateVersion, Day: r.day}
	for domain, t := range r.domains {
		s.Domains = append(s.Domains, t.snapshot(domain))
	}
	for _, w := range r.waiting {
		s.Waiting = append(s.Waiting, stateWaiting{
			stateDomain: w.snapshot(w.domain), Day: w.day, ID: w.id, Due: w.due, First: w.first, Attempts: w.attempts,
		})
	}
	return s
}

func (t *tally) snapshot(domain mail.Domain) stateDomain {
	d := stateDomain{Domain: domain}
	for _, p := range t.policies {
		kept := statePolicy{
			Type: p.policy.Type, Domain: p.policy.Domain, Strings: p.policy.Strings, MXHosts: p.policy.MXHosts,
			Successful: p.successful, Failed: p.failures,
		}
		for f, n := range p.details {
			kept.Details = append(kept.Details, stateDetail{
				f.Result, f.SendingIP, f.MXHost, f.MXHelo, f.ReceivingIP, f.Reason, f.Information, n,
			})
		}
		d.Policies = append(d.Policies, kept)
	}
	return d
}

// load reads the file, if there is one.
func (r *Reporter) load() error {
	if r.options.Path == "" {
		return nil
	}
	data, err := os.ReadFile(r.options.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := parseState(data)
	if err != nil {
		return r.setAside(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restore(s)
	r.roll(time.Now())
	return nil
}

// setAside keeps what cannot be understood for somebody to look at.
func (r *Reporter) setAside(cause error) error {
	aside := r.options.Path + ".broken-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(r.options.Path, aside); err != nil {
		return err
	}
	r.options.Logger.Error("TLS report counts set aside", "file", aside, "error", cause)
	return nil
}

func parseState(data []byte) (*state, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Version != stateVersion || s.Day.IsZero() {
		return nil, fmt.Errorf("%w: version %d, not %d", ErrState, s.Version, stateVersion)
	}
	return &s, nil
}

// restore takes over what a file holds, within the bounds. The caller holds
// r.mu.
func (r *Reporter) restore(s *state) {
	if day := dayOf(s.Day); day.Before(r.day) {
		r.day = day // it is over; roll makes reports of it
	}
	for _, d := range s.Domains {
		if r.domains[d.Domain] != nil {
			continue // once is enough
		}
		if t := r.taken(&d, len(r.domains)); t != nil {
			r.domains[d.Domain] = t
		}
	}
	for _, d := range s.Waiting {
		w := &waiting{
			waitingKey: waitingKey{d.Domain, dayOf(d.Day)}, id: d.ID,
			due: d.Due, first: d.First, attempts: max(d.Attempts, 0),
		}
		if r.waiting[w.waitingKey] != nil {
			continue
		}
		if w.tally = r.taken(&d.stateDomain, len(r.waiting)); w.tally != nil {
			r.waiting[w.waitingKey] = w
		}
	}
}

// taken makes a tally of what is in the file; nil where there is no room.
func (r *Reporter) taken(d *stateDomain, already int) *tally {
	t := newTally()
	if !reportable(d.Domain) || already >= r.options.MaxDomains || t.size > r.room() {
		r.metrics.lose(lostDomain, 1)
		return nil
	}
	r.size += t.size
	for i := range d.Policies {
		before := t.size
		r.metrics.lose(t.restore(d.Domain, &d.Policies[i], r.room()), 1)
		r.size += t.size - before
	}
	return t
}

func (t *tally) restore(domain mail.Domain, kept *statePolicy, room int) loss {
	s := Session{Domain: domain, Policy: Policy{Type: kept.Type, Domain: kept.Domain, Strings: kept.Strings, MXHosts: kept.MXHosts}}
	s = s.clean()
	before := t.size
	if lost := t.add(&s, room); lost != lostNothing {
		return lost
	}
	p := t.policies[s.Policy.key()]
	p.successful += kept.Successful - 1 // add has counted one
	p.failures += kept.Failed
	for _, d := range kept.Details {
		f := Failure{d.Result, d.SendingIP, d.MXHost, d.MXHelo, d.ReceivingIP, d.Reason, d.Information}.clean()
		if lost := t.detail(p, []Failure{f}, room-(t.size-before)); lost != lostNothing {
			return lost
		}
		p.details[f] += d.Sessions - 1
	}
	return lostNothing
}
