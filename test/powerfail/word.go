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
	wordRetry  = "retry"

	// These are overheard from a daemon.

	wordTold   = "told"   // an event, by somebody who reads the log
	wordAnswer = "answer" // the remote server's, about one recipient
	wordRead   = "read"   // a reader opens or clicks
	wordLeave  = "leave"  // a reader unsubscribes
	wordErase  = "erase"
)

// word is what is announced: that somebody is about to ask for something, or,
// with Done, that what was asked for under that number is promised.
type word struct {
	Number int  `json:"number"`
	Done   bool `json:"done,omitempty"`

	Kind       string           `json:"kind,omitempty"`
	Message    *queue.Message   `json:"message,omitempty"`
	Recipients []mail.Recipient `json:"recipients,omitempty"`
	Events     []event.Event    `json:"events,omitempty"`
	// Content is what the body of a message ends with, where it is not what
	// body makes.
	Content []byte `json:"content,omitempty"`
	// Selector chooses whose recipients are all cancelled, held or due, and Hold
	// is the hold's id.
	Selector selector `json:"selector,omitzero"`
	Hold     queue.ID `json:"hold,omitzero"`
	Reason   string   `json:"reason,omitempty"`
	// Position is where an event was that was told.
	Position uint64 `json:"position,omitempty"`
	// Address is who is spoken of, of a Tenant and perhaps a Stream.
	Address mail.Address `json:"address,omitzero"`
	Tenant  string       `json:"tenant,omitempty"`
	Stream  string       `json:"stream,omitempty"`
	// Code is what a remote server answered.
	Code int `json:"code,omitempty"`
}

// selector is a queue.Selector as JSON.
type selector struct {
	Message   queue.ID     `json:"message,omitzero"`
	Recipient mail.Address `json:"recipient,omitzero"`
	Tenant    string       `json:"tenant,omitempty"`
	Stream    string       `json:"stream,omitempty"`
	Campaign  string       `json:"campaign,omitempty"`
	Domain    mail.Domain  `json:"domain,omitempty"`
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
