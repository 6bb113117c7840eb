package log

import (
	"bytes"
	"crypto/rand"
	"strings"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// matcher finds the events about one subject. Days are shown to it oldest
// first: it remembers the recipients that it recognised, so that their later
// events are found even where these name nobody.
type matcher struct {
	tenant string
	key    string
	domain []byte
	known  map[string]struct{} // by originKey
}

func newMatcher(s person.Subject) *matcher {
	return &matcher{
		tenant: s.Tenant, key: s.Address.Key(), domain: []byte(s.Address.Domain()), known: map[string]struct{}{},
	}
}

// concerns tells from the stored form, quickly, that an event is not about the
// subject.
func (m *matcher) concerns(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`"recipient":`)) {
		return len(m.known) > 0
	}
	for rest := raw; ; {
		at := bytes.IndexByte(rest, '@')
		if at < 0 {
			return false
		}
		rest = rest[at+1:]
		if len(rest) > len(m.domain) && rest[len(m.domain)] == '"' && bytes.EqualFold(rest[:len(m.domain)], m.domain) {
			return true
		}
	}
}

func (m *matcher) match(e *event.Event) bool {
	if e.Recipient == "" && e.Message == "" {
		return false // it is about nobody
	}
	origin := originKey(e.Message, e.Index)
	if e.Recipient == "" {
		_, known := m.known[origin]
		return known
	}
	if e.Tenant != m.tenant || !m.same(e.Recipient) {
		return false
	}
	m.known[origin] = struct{}{}
	return true
}

func (m *matcher) same(recipient string) bool {
	if strings.ToLower(recipient) == m.key {
		return true
	}
	address, err := mail.ParseAddress(recipient)
	return err == nil && address.Key() == m.key
}

// newPseudonym returns an address that stands for a person and leads to none.
func newPseudonym() string { return "erased-" + strings.ToLower(rand.Text()) + "@erased.invalid" }
