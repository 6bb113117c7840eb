package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

// silentLog is an event log that keeps nothing.
type silentLog struct{ err error }

func (l silentLog) Append(context.Context, []event.Record) error { return l.err }

func (silentLog) Position() (uint64, error) { return 0, nil }

func TestEventsAreLoggedMasked(t *testing.T) {
	records := []event.Record{{Event: event.Event{
		Type: event.Bounced, Message: "m", Recipient: "reader@example.net", Site: "example.net", Attempt: 1,
		Reply: &mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}, Text: "reader@example.net unknown"},
	}}}
	for _, full := range []bool{false, true} {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		log := &loggedEvents{EventLog: silentLog{}, logger: logger, full: func() bool { return full }}
		if err := log.Append(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		line := out.String()
		if strings.Contains(line, "reader@") != full || !strings.Contains(line, "550 5.1.1") || !strings.Contains(line, "@example.net") {
			t.Errorf("full %v: %s", full, line)
		}
	}
}

func TestEventsThatWereNotKeptAreNotLogged(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	failed := errors.New("disk")
	log := &loggedEvents{EventLog: silentLog{failed}, logger: logger}
	if err := log.Append(t.Context(), make([]event.Record, 1)); !errors.Is(err, failed) || out.Len() > 0 {
		t.Errorf("%v: %s", err, out.String())
	}
}
