package event

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// ParseJSON is the inverse of AppendJSON, and takes any other JSON that
// encoding/json takes for an Event. Each event is read several times on its way,
// and by reflection that took a seventh of the tracker's time.
func ParseJSON(b []byte) (Event, error) {
	// The texts of an event are parts of one.
	r := reader{rest: string(b)}
	var e Event
	if r.event(&e) {
		return e, nil
	}
	e = Event{}
	err := json.Unmarshal(b, &e)
	return e, err
}

// reader reads what AppendJSON writes of nearly all events: no white space, no
// escapes, known names. Its methods report false for what they do not know,
// which may be good JSON all the same.
type reader struct{ rest string }

func (r *reader) event(e *Event) bool {
	return r.object(func(name string) bool { return r.member(e, name) }) && r.rest == ""
}

// object reads one whose members are read by member.
func (r *reader) object(member func(name string) bool) bool {
	if !r.skip('{') {
		return false
	}
	for {
		name, ok := r.text()
		if !ok || !r.skip(':') || !member(name) {
			return false
		}
		if r.skip('}') {
			return true
		}
		if !r.skip(',') {
			return false
		}
	}
}

func (r *reader) member(e *Event, name string) bool {
	if field := textField(e, name); field != nil {
		return r.into(field)
	}
	switch name {
	case "type":
		return r.into((*string)(&e.Type))
	case "time":
		return r.time(&e.Time)
	case "next_attempt":
		return r.time(&e.NextAttempt)
	case "index":
		return r.number(&e.Index)
	case "attempt":
		return r.number(&e.Attempt)
	case "tags":
		return r.tags(e)
	case "metadata":
		return r.raw(&e.Metadata)
	case "tls":
		return r.tls(e)
	case "reply":
		return r.reply(e)
	}
	return false
}

// textField is the field of a name that holds text, nil for others.
func textField(e *Event, name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "tenant":
		return &e.Tenant
	case "stream":
		return &e.Stream
	case "campaign":
		return &e.Campaign
	case "message":
		return &e.Message
	case "recipient":
		return &e.Recipient
	case "site":
		return &e.Site
	case "source":
		return &e.Source
	case "host":
		return &e.Host
	case "category":
		return &e.Category
	case "reason":
		return &e.Reason
	case "url":
		return &e.URL
	case "machine":
		return &e.Machine
	}
	return nil
}

func (r *reader) skip(c byte) bool {
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// text reads a string that stands for itself.
func (r *reader) text() (string, bool) {
	if !r.skip('"') {
		return "", false
	}
	end := strings.IndexByte(r.rest, '"')
	if end < 0 || !plain(r.rest[:end]) {
		return "", false
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	return text, true
}

func (r *reader) into(field *string) bool {
	text, ok := r.text()
	*field = text
	return ok
}

func (r *reader) time(field *time.Time) bool {
	text, ok := r.text()
	return ok && field.UnmarshalText([]byte(text)) == nil
}

// number reads one without sign, fraction and exponent.
func (r *reader) number(field *int) bool {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && r.rest[0] == '0' {
		return false
	}
	value, err := strconv.Atoi(r.rest[:n])
	*field, r.rest = value, r.rest[n:]
	return err == nil
}

func (r *reader) tags(e *Event) bool {
	if e.Tags != nil || !r.skip('[') {
		return false
	}
	for {
		tag, ok := r.text()
		if !ok {
			return false
		}
		e.Tags = append(e.Tags, tag)
		if r.skip(']') {
			return true
		}
		if !r.skip(',') {
			return false
		}
	}
}

// raw reads an object or a list as it is.
func (r *reader) raw(field *json.RawMessage) bool {
	depth, quoted := 0, false
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth <= 0 {
			*field = json.RawMessage(r.rest[:i+1])
			r.rest = r.rest[i+1:]
			return json.Valid(*field)
		}
	}
	return false
}

func (r *reader) tls(e *Event) bool {
	if e.TLS != nil {
		return false
	}
	e.TLS = &TLS{}
	return r.object(func(name string) bool {
		switch name {
		case "version":
			return r.into(&e.TLS.Version)
		case "cipher":
			return r.into(&e.TLS.Cipher)
		case "verified":
			return r.into(&e.TLS.Verified)
		}
		return false
	})
}

func (r *reader) reply(e *Event) bool {
	if e.Reply != nil {
		return false
	}
	e.Reply = &mail.Reply{}
	return r.object(func(name string) bool {
		switch name {
		case "code":
			return r.number(&e.Reply.Code)
		case "enhanced":
			text, ok := r.text()
			return ok && e.Reply.Enhanced.UnmarshalText([]byte(text)) == nil
		case "text":
			return r.into(&e.Reply.Text)
		}
		return false
	})
}
