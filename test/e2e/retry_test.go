package e2e

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestMailExpiresWithItsLastReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := testmx.Rule{Command: testmx.RCPT, Action: testmx.Action{Reply: "452 4.2.2 mailbox full"}}
	w.domain("full.example", testmx.Options{Rules: []testmx.Rule{later}})
	w.start(settings{queue: "max_age = \"3s\"\nretry_first = \"200ms\"\nretry_factor = 1.5\nretry_max = \"1s\"\nretry_jitter = 0.2\n"})
	id := w.hand(letter(), "reader@full.example")
	e := w.awaitEvent(id, event.Expired)
	if e.Reply == nil || e.Reply.Code != 452 || e.Reply.Enhanced != (mail.EnhancedCode{Class: 4, Subject: 2, Detail: 2}) || !strings.Contains(e.Reply.Text, "mailbox full") {
		t.Errorf("the last reply is %v (%s)", e.Reply, e.Reason)
	}
	history := w.history(id)
	if len(history) < 4 || history[0].Type != event.Accepted {
		t.Fatalf("history %s", types(history))
	}
	w.checkSchedule(history[1 : len(history)-1])
	w.settled()
}

// checkSchedule compares the pauses that the events announce with the policy
// above: 200 ms growing by half, plus and minus a fifth.
func (w *world) checkSchedule(deferrals []event.Event) {
	w.Helper()
	pause := 0.2
	for i, e := range deferrals {
		if e.Type != event.Deferred || e.Attempt != i+1 {
			w.Errorf("event %d is %s of attempt %d", i+1, e.Type, e.Attempt)
		}
		// The event's time and the pause's beginning are not quite the same.
		if got := e.NextAttempt.Sub(e.Time).Seconds(); got < 0.8*pause-0.1 || got > 1.2*pause+0.1 {
			w.Errorf("attempt %d is followed by a pause of %.3f s instead of about %.3f s", e.Attempt, got, pause)
		}
		pause = min(1.5*pause, 1)
	}
}
