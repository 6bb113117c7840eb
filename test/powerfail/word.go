package powerfail

import (
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// The kinds of words.
const (
	wordAccept = "accept"
	wordSettle = "settle"
	wordDefer  = "defer"
	wordCancel = "cancel"
	wordRecord = "record"
	wordHold   = "hold"
	wordFree   = "release"
)

// word is what the worker announces: that it is about to call the store, or,
// with Done, that the call of that number returned without an error.
type word struct {
	Number int  `json:"number"`
	Done   bool `json:"done,omitempty"`

	Kind       string           `json:"kind,omitempty"`
	Message    *queue.Message   `json:"message,omitempty"`
	Recipients []mail.Recipient `json:"recipients,omitempty"`
	Events     []event.Event    `json:"events,omitempty"`
	// Target is the message whose recipients are all cancelled or held, and
	// Hold the hold's id.
	Target queue.ID `json:"target,omitzero"`
	Hold   queue.ID `json:"hold,omitzero"`
	Reason string   `json:"reason,omitempty"`
}

// herald announces words, each with one write.
type herald struct {
	to     io.Writer
	number atomic.Int64
	// early: success is announced before it is known, as a careless server
	// would.
	early bool
}

// call announces a call, makes it, and announces its success.
func (h *herald) call(w word, do func() error) error {
	w.Number = int(h.number.Add(1))
	done := word{Number: w.Number, Done: true}
	if err := h.say(w); err != nil {
		return err
	}
	if h.early {
		if err := h.say(done); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", w.Kind, err)
	}
	if h.early {
		return nil
	}
	return h.say(done)
}

func (h *herald) say(w word) error {
	line, err := json.Marshal(w)
	if err == nil {
		_, err = h.to.Write(line)
	}
	return err
}

// body is the content of the message with an id and a size: it can be made
// again by whoever checks it.
func body(id queue.ID, size int64) []byte {
	line := []byte("Message-ID: <" + id.String() + "@example.com>\r\n\r\n")
	b := make([]byte, 0, size+int64(len(line)))
	for n := 0; int64(len(b)) < size; n++ {
		b = append(b, line...)
		b = fmt.Appendf(b, "%d %x\r\n", n, uint32(n)*2654435761)
	}
	return b[:size]
}

// timeIn returns now, to the microsecond, so that what is kept and what is
// printed are the same.
func timeIn(age time.Duration) time.Time {
	return time.Now().Add(-age).UTC().Truncate(time.Microsecond)
}
