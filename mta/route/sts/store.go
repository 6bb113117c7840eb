package sts

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Store keeps one document over restarts.
type Store interface {
	// Load returns what was saved last; nothing where nothing was.
	Load() ([]byte, error)
	// Save replaces it: after a crash either the old or the new one is there.
	Save(document []byte) error
	// SetAside keeps a document that cannot be read where Load does not find it.
	SetAside() error
}

// document is the JSON form of what is saved.
type document struct {
	Version  int      `json:"version"`
	Policies []stored `json:"policies"`
}

// documentVersion changes with the meaning of the fields.
const documentVersion = 1

type stored struct {
	Domain  string    `json:"domain"`
	ID      string    `json:"id"`
	Mode    Mode      `json:"mode"`
	MX      []string  `json:"mx,omitempty"`
	MaxAge  int64     `json:"max_age"`
	Fetched time.Time `json:"fetched"`
}

// encode writes the entries that hold.
func encode(entries []entry, now time.Time) ([]byte, error) {
	d := document{Version: documentVersion, Policies: []stored{}}
	for _, e := range entries {
		if e.holds(now) {
			d.Policies = append(d.Policies, stored{
				string(e.domain), e.id, e.policy.Mode, e.policy.MX, int64(e.policy.MaxAge / time.Second), e.fetched.UTC(),
			})
		}
	}
	return json.Marshal(d)
}

// decode reads what encode wrote, and takes nothing on trust: what does not
// read as a policy in force is left out, and counted.
func decode(data []byte, now time.Time, refresh time.Duration) (entries []entry, bad int, err error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, 0, err
	}
	if d.Version != documentVersion {
		return nil, 0, fmt.Errorf("version %d is not %d", d.Version, documentVersion)
	}
	for _, s := range d.Policies {
		if s.Fetched.After(now) {
			s.Fetched = now // the clock went back
		}
		e, err := s.entry(refresh)
		switch {
		case err != nil:
			bad++
		case e.holds(now):
			entries = append(entries, e)
		}
	}
	return entries, bad, nil
}

func (s stored) entry(refresh time.Duration) (entry, error) {
	domain, err := mail.ParseDomain(s.Domain)
	if err != nil {
		return entry{}, err
	}
	if _, err := ParseRecord([]string{recordVersion + "; id=" + s.ID}); err != nil {
		return entry{}, err
	}
	if s.MaxAge < 0 || s.MaxAge > int64(MaxAge/time.Second) {
		return entry{}, fmt.Errorf("%w: max_age", ErrInvalid)
	}
	policy := Policy{Mode: s.Mode, MaxAge: time.Duration(s.MaxAge) * time.Second}
	if err := policy.Mode.check(); err != nil {
		return entry{}, err
	}
	for _, pattern := range s.MX {
		if err := policy.addPattern(pattern); err != nil {
			return entry{}, err
		}
	}
	if len(policy.MX) == 0 && policy.Mode != None {
		return entry{}, fmt.Errorf("%w: no mx", ErrInvalid)
	}
	return newEntry(domain, s.ID, policy, s.Fetched, refresh), nil
}

// load fills the cache from the store.
func (c *Cache) load(now time.Time) {
	store, logger := c.options.Store, c.options.Logger
	if store == nil {
		return
	}
	data, err := store.Load()
	if err != nil {
		logger.Error("MTA-STS policies cannot be read", slog.Any("error", err))
		return
	}
	if len(data) == 0 {
		return
	}
	entries, bad, err := decode(data, now, c.options.Refresh)
	if err != nil || bad > 0 {
		logger.Error("saved MTA-STS policies are damaged: set aside", slog.Int("policies", bad), slog.Any("error", err))
		if err := store.SetAside(); err != nil {
			logger.Error("damaged MTA-STS policies cannot be set aside", slog.Any("error", err))
		}
	}
	for i := len(entries) - 1; i >= 0; i-- {
		c.entries.put(entries[i])
	}
	c.changed = bad > 0
}

// save writes what changed since the last time. What cannot be saved is tried
// again with the next one.
func (c *Cache) save() {
	c.mu.Lock()
	changed := c.changed
	var entries []entry
	if changed && c.options.Store != nil {
		entries = c.entries.all()
	}
	c.changed = false
	c.mu.Unlock()
	if !changed || c.options.Store == nil {
		return
	}
	data, err := encode(entries, time.Now())
	if err == nil {
		err = c.options.Store.Save(data)
	}
	if err == nil {
		return
	}
	c.options.Logger.Error("MTA-STS policies cannot be saved", slog.Any("error", err))
	c.mu.Lock()
	c.changed = true
	c.mu.Unlock()
}
