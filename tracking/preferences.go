package tracking

import (
	"context"
	"mime"
	"net/http"
	"slices"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/token"
)

// Preferences are what readers choose about a tenant's mail.
type Preferences interface {
	// Choices returns how things are for a reader who holds a link of a stream.
	Choices(tenant, stream string, address mail.Address) (Choices, error)
	// Choose is durable before it returns nil, and may be called again for what
	// is already done; changed is false then. Nothing is sent, or recorded, that
	// the choice forbids once it has returned.
	Choose(ctx context.Context, c Choice) (changed bool, err error)
}

// Choices are a reader's at a time.
type Choices struct {
	// Tenant and Language are the sender's name, empty for none, and language.
	Tenant, Language string
	// Streams that the reader can leave.
	Streams []StreamChoice
	// AllLeft: they have left them all.
	AllLeft bool
	// Unmeasured: they do not want to be measured.
	Unmeasured bool
}

// StreamChoice is one stream.
type StreamChoice struct {
	Name, DisplayName string
	Left              bool
}

// Do is what a Choice does.
type Do string

// The choices there are. Each undoes another, and only that.
const (
	Leave     Do = "leave"
	Return    Do = "return"
	LeaveAll  Do = "leave_all"
	ReturnAll Do = "return_all"
	Unmeasure Do = "unmeasure"
	Measure   Do = "measure"
)

// Choice is a change that a reader asks for.
type Choice struct {
	Do      Do
	Tenant  string
	Address mail.Address
	// Stream that is left or returned to.
	Stream string
	// Message is the text form of the id of the message that the link was in.
	Message string
}

// preferences shows the page of choices, and acts on a POST. The token is the
// credential: who has it may choose, and no other site can send it along.
func (t *Tracker) preferences(w http.ResponseWriter, r *http.Request, sealed string) int {
	u, address, err := t.openUnsubscribe(sealed)
	if err != nil || t.choices == nil {
		return notFound(w)
	}
	choices, err := t.choices.Choices(u.Tenant, u.Stream, address)
	if err != nil {
		return t.notChosen(w, r, u, choices, address, err)
	}
	if r.Method != http.MethodPost {
		return t.page.preferences(w, r, http.StatusOK, outcomeNone, choices, address)
	}
	choice, ok := readChoice(w, r, choices)
	if !ok {
		return t.page.preferences(w, r, http.StatusBadRequest, outcomeUnclear, choices, address)
	}
	choice.Tenant, choice.Address, choice.Message = u.Tenant, address, MessageText(u.Message)
	if err := t.chooseNow(r, u, choice); err != nil {
		return t.notChosen(w, r, u, choices, address, err)
	}
	if now, err := t.choices.Choices(u.Tenant, u.Stream, address); err == nil {
		choices = now
	}
	return t.page.preferences(w, r, http.StatusOK, outcomeSaved, choices, address)
}

func (t *Tracker) notChosen(w http.ResponseWriter, r *http.Request, u token.Unsubscribe, c Choices, address mail.Address, err error) int {
	t.logger.ErrorContext(r.Context(), "preferences failed", "tenant", u.Tenant, "stream", u.Stream, "message", MessageText(u.Message), "index", u.Index, "error", err)
	w.Header().Set("Retry-After", "60")
	return t.page.preferences(w, r, http.StatusServiceUnavailable, outcomeFailed, c, address)
}

// openUnsubscribe opens the token of an unsubscribe link.
func (t *Tracker) openUnsubscribe(sealed string) (token.Unsubscribe, mail.Address, error) {
	u, err := t.keys.OpenUnsubscribe(sealed)
	if err != nil {
		return u, mail.Address{}, err
	}
	address, err := mail.ParseAddress(u.Address)
	return u, address, err
}

// readChoice reads the form. A stream must be one of those on the page.
func readChoice(w http.ResponseWriter, r *http.Request, on Choices) (Choice, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		return Choice{}, false
	}
	c := Choice{Do: Do(r.PostForm.Get("choice")), Stream: r.PostForm.Get("stream")}
	switch c.Do {
	case Leave, Return:
		return c, slices.ContainsFunc(on.Streams, func(s StreamChoice) bool { return s.Name == c.Stream })
	case LeaveAll, ReturnAll, Unmeasure, Measure:
		return c, c.Stream == ""
	}
	return c, false
}

// chooseNow makes a choice durable, then tells of it.
func (t *Tracker) chooseNow(r *http.Request, u token.Unsubscribe, c Choice) error {
	// A client that hangs up has asked all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), unsubscribeTimeout)
	defer cancel()
	changed, err := t.choices.Choose(ctx, c)
	if err != nil || !changed {
		return err
	}
	e := t.recorder.newEvent(event.Unsubscribed, u.Message, u.Index)
	e.Tenant, e.Stream, e.Recipient = c.Tenant, c.Stream, c.Address.String()
	switch c.Do {
	case Return, ReturnAll:
		e.Type, e.Reason = event.Unsuppressed, string(event.Unsubscribed)
	case Unmeasure, Measure:
		return nil
	}
	t.recorder.add(e)
	return nil
}

// sender returns the name and language of a tenant, as far as is known.
func (t *Tracker) sender(u token.Unsubscribe, address mail.Address) Choices {
	if t.choices == nil {
		return Choices{}
	}
	c, err := t.choices.Choices(u.Tenant, u.Stream, address)
	if err != nil { // the page needs them for its words alone
		return Choices{}
	}
	return c
}
