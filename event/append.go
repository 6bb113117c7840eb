package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// AppendJSON appends the JSON form of e, the characters of HTML as they are, so
// that metadata keeps its octets apart from white space. Every recipient has
// events, and by reflection they took a seventh of the store's time.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	w := writer{b: append(b, '{')}
	w.always("id", e.ID)
	w.always("type", string(e.Type))
	w.time("time", e.Time)
	w.text("tenant", e.Tenant)
	w.text("stream", e.Stream)
	w.text("campaign", e.Campaign)
	if len(e.Tags) > 0 {
		w.marshal("tags", e.Tags)
	}
	if len(e.Metadata) > 0 {
		w.marshal("metadata", e.Metadata)
	}
	w.always("message", e.Message)
	w.number("index", e.Index)
	w.text("recipient", e.Recipient)
	w.text("site", e.Site)
	w.text("source", e.Source)
	w.text("host", e.Host)
	w.tls(e.TLS)
	w.reply(e.Reply)
	w.text("category", e.Category)
	if e.Attempt != 0 {
		w.number("attempt", e.Attempt)
	}
	if !e.NextAttempt.IsZero() {
		w.time("next_attempt", e.NextAttempt)
	}
	w.text("reason", e.Reason)
	w.text("url", e.URL)
	w.text("machine", e.Machine)
	if e.Rate != nil {
		w.marshal("rate", e.Rate)
	}
	return append(w.b, '}'), w.err
}

// writer appends the members of one object.
type writer struct {
	b   []byte
	err error
}

func (w *writer) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

// text leaves an empty member out.
func (w *writer) text(name, value string) {
	if value != "" {
		w.always(name, value)
	}
}

func (w *writer) always(name, value string) {
	if !plain(value) {
		w.marshal(name, value)
		return
	}
	w.name(name)
	w.b = append(w.b, '"')
	w.b = append(w.b, value...)
	w.b = append(w.b, '"')
}

// plain reports that JSON needs no escape.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~' || c == '"' || c == '\\':
			return false
		}
	}
	return true
}

func (w *writer) number(name string, value int) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, int64(value), 10)
}

func (w *writer) time(name string, value time.Time) {
	w.name(name)
	w.b = append(w.b, '"')
	b, err := value.AppendText(w.b)
	if err != nil {
		w.err = fmt.Errorf("member %s: %w", name, err)
		return
	}
	w.b = append(b, '"')
}

func (w *writer) tls(t *TLS) {
	if t == nil {
		return
	}
	w.name("tls")
	w.b = append(w.b, '{')
	w.always("version", t.Version)
	w.always("cipher", t.Cipher)
	w.text("verified", t.Verified)
	w.b = append(w.b, '}')
}

func (w *writer) reply(r *mail.Reply) {
	if r == nil {
		return
	}
	w.name("reply")
	w.b = append(w.b, '{')
	w.number("code", r.Code)
	if !r.Enhanced.IsZero() {
		w.name("enhanced")
		w.b = append(w.b, '"')
		w.b, _ = r.Enhanced.AppendText(w.b)
		w.b = append(w.b, '"')
	}
	w.text("text", r.Text)
	w.b = append(w.b, '}')
}

// marshal is for what is rare.
func (w *writer) marshal(name string, value any) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		w.err = fmt.Errorf("member %s: %w", name, err)
		return
	}
	w.name(name)
	w.b = append(w.b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
