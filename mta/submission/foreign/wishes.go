package foreign

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/internal/account"
)

// Switch is a wish that may not have been said.
type Switch uint8

const (
	// Unsaid leaves it to others.
	Unsaid Switch = iota
	// Off always wins.
	Off
	// On is what nobody turned off.
	On
)

// and joins two wishes.
func (s Switch) and(other Switch) Switch {
	switch {
	case s == Off || other == Off:
		return Off
	case s == On || other == On:
		return On
	}
	return Unsaid
}

// Wishes are what vendors' headers ask for.
type Wishes struct {
	// Opens, Clicks and Text are the pixel, the links in HTML and those in plain
	// text.
	Opens, Clicks, Text Switch
	// Campaign is empty where none is named.
	Campaign string
	// Tags in the order of the header.
	Tags []string
	// Metadata are values in JSON; nil for none.
	Metadata map[string]json.RawMessage
	// Streams and Pools are names that may be known here.
	Streams, Pools []string
	// SendAt is a date as the vendor writes it: RFC 3339, RFC 5322, Unix
	// seconds, or year-month-day and time in UTC.
	SendAt string
	// UTM are query parameters for links.
	UTM account.UTM
}

// ErrHeader is wrapped by the errors of Read; their text names the header and
// what is wrong with it.
var ErrHeader = errors.New("vendor header")

func bad(f Field, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrHeader, f.Name, fmt.Sprintf(format, args...))
}

// track joins a wish about opens and one about links in HTML. Links that are
// not tracked are not in plain text either.
func (w *Wishes) track(opens, clicks, text Switch) {
	w.Opens = w.Opens.and(opens)
	w.Clicks = w.Clicks.and(clicks)
	w.Text = w.Text.and(text)
}

func (w *Wishes) keep(name string, value json.RawMessage) {
	if w.Metadata == nil {
		w.Metadata = make(map[string]json.RawMessage)
	}
	if _, known := w.Metadata[name]; !known {
		w.Metadata[name] = value
	}
}

func (w *Wishes) keepText(name, value string) {
	text, err := json.Marshal(value)
	if err != nil { // a string always has a form in JSON
		return
	}
	w.keep(name, text)
}

// keepObject takes the members of a JSON object.
func (w *Wishes) keepObject(f Field, text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return bad(f, "is no JSON object")
	}
	for name, value := range members {
		w.keep(name, value)
	}
	return nil
}
