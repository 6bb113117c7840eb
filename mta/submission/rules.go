package submission

import (
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// checkBulk holds a message against the rules for bulk mail that its stream
// looks at, and refuses it for the first one that is enforced.
func (d *draft) checkBulk(h header, message []byte, stream account.Stream, now time.Time) error {
	if len(stream.Checks) == 0 {
		return nil
	}
	level := func(r bulk.Rule) account.Check { return stream.Checks[string(r)] }
	findings := bulk.Check(d.examined(h, message, stream), func(r bulk.Rule) bool { return level(r) > account.CheckOff })
	var refused *refusal
	for _, f := range findings {
		d.server.metrics.bulk.WithLabelValues(string(f.Rule), level(f.Rule).String()).Inc()
		if level(f.Rule) == account.CheckEnforce && refused == nil {
			refused = refuse(550, smtp.EnhancedCode{5, 7, 1}, reasonBulk, "bulk rule %s: %s", f.Rule, f.Text)
		}
	}
	if refused != nil {
		return refused
	}
	for _, f := range findings {
		if tenant := d.sender.tenant.Name; d.server.warnings.due(now, tenant, f.Rule) {
			d.server.logger.Warn("mail breaks a rule for bulk senders", "tenant", tenant, "stream", stream.Name, "rule", string(f.Rule), "finding", f.Text)
		}
	}
	return nil
}

// examined is what the rules look at.
func (d *draft) examined(h header, message []byte, stream account.Stream) bulk.Message {
	tenant := d.sender.tenant
	m := bulk.Message{
		Octets: message, AddsUnsubscribe: stream.Unsubscribe && tenant.TrackingURL != "", MaxSize: stream.MaxSize,
		Fields: make([]bulk.Field, 0, len(h.fields)),
	}
	if aligned := d.server.options.Aligned; aligned != nil {
		m.Aligned = func(from mail.Domain) bool { return aligned(tenant.Name, from) }
	}
	for _, f := range h.fields {
		m.Fields = append(m.Fields, bulk.Field{Name: string(f.name), Value: f.unfolded()})
		if f.is("From") {
			found, _ := parseMailboxes(f.unfolded()) // none where it cannot be read
			m.From = append(m.From, found...)
		}
	}
	return m
}

// Examination is what the rules for bulk mail say of a message.
type Examination struct {
	// Stream that the message belongs to, with what it makes of findings.
	Stream account.Stream
	// Findings are those of all rules, looked at or not.
	Findings []bulk.Finding
}

// Examine holds a message against all rules for bulk mail. Nothing is accepted
// or counted. The error is that of a message that would be refused whatever its
// stream checks.
func (s *Server) Examine(i Injection) (Examination, error) {
	d, err := s.injected(i)
	if err != nil {
		return Examination{}, err
	}
	message := withLineEnds(i.Message)
	if err := checkContent(message); err != nil {
		return Examination{}, err
	}
	h, err := parseHeader(message)
	if err != nil {
		return Examination{}, err
	}
	if _, err := checkSenders(h, d.sender, d.envelope.From.Domain()); err != nil {
		return Examination{}, err
	}
	wishes, err := parseControls(h, d.sender, s.now())
	if err != nil {
		return Examination{}, err
	}
	findings := bulk.Check(d.examined(h, message, wishes.stream), func(bulk.Rule) bool { return true })
	return Examination{wishes.stream, findings}, nil
}

// warnEvery is how often the log tells of one rule and one tenant.
const warnEvery = time.Hour

// warnings remember what the log was told. There are as many as tenants and
// rules.
type warnings struct {
	mu   sync.Mutex
	last map[warning]time.Time
}

type warning struct {
	tenant string
	rule   bulk.Rule
}

func newWarnings() *warnings { return &warnings{last: map[warning]time.Time{}} }

// due reports whether the log is to be told, and takes it as told.
func (w *warnings) due(now time.Time, tenant string, rule bulk.Rule) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	about := warning{tenant, rule}
	if last, known := w.last[about]; known && now.Before(last.Add(warnEvery)) && !now.Before(last) {
		return false
	}
	w.last[about] = now
	return true
}
