package log

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// valueOctets is more than most events take.
const valueOctets = 512

// encode returns the event as compact JSON and whether it had to be repaired:
// an event that JSON cannot express must not hold up those behind it.
func encode(e *event.Event) (value []byte, repaired bool, err error) {
	if value, err = marshal(e); err == nil {
		return value, false, nil
	}
	fixed := *e
	if !json.Valid(fixed.Metadata) {
		fixed.Metadata = json.RawMessage(strconv.QuoteToASCII(string(e.Metadata)))
		if !json.Valid(fixed.Metadata) {
			fixed.Metadata = nil
		}
	}
	fixed.Time = writable(e.Time)
	fixed.NextAttempt = writable(e.NextAttempt)
	value, err = marshal(&fixed)
	return value, true, err
}

func marshal(e *event.Event) ([]byte, error) {
	value, err := e.AppendJSON(make([]byte, 0, valueOctets))
	if err != nil {
		return nil, fmt.Errorf("event as JSON: %w", err)
	}
	return value, nil
}

// writable returns the time that RFC 3339 can express, else the zero one.
func writable(t time.Time) time.Time {
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

func decode(value []byte) (event.Event, error) { return event.ParseJSON(value) }
