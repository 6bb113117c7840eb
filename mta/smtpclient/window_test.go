package smtpclient

import (
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestWindow(t *testing.T) {
	const trip = 50 * time.Millisecond
	w := window{size: 1}
	steps := []struct {
		name    string
		took    time.Duration
		crowded bool
		want    int
	}{
		{"the first leaps", trip, true, firstLeap},
		{"one more for each", trip, true, firstLeap + 1},
		{"not where there is room", trip, false, firstLeap + 1},
		{"a little late", 2 * trip, true, firstLeap + 2},
		{"waited in line", 2*trip + slack + 1, true, firstLeap + 2},
		{"waited long", 3*trip + slack + 1, true, firstLeap + 1},
		{"all is well", trip, true, firstLeap + 2},
	}
	for _, s := range steps {
		if w.succeed(s.took, s.crowded, maxWindow); w.size != s.want {
			t.Errorf("%s: %d, want %d", s.name, w.size, s.want)
		}
	}
	for range 100 {
		w.succeed(trip, true, maxWindow)
	}
	if w.size != maxWindow {
		t.Errorf("grown to %d", w.size)
	}
	w.shrink()
	// Now a step takes a round trip: 1, then 2, then 3 successes.
	for i, want := range []int{2, 2, 3, 3, 3, 4} {
		if w.succeed(trip, true, maxWindow); w.size != want {
			t.Errorf("after trouble and %d successes: %d, want %d", i+1, w.size, want)
		}
	}
	for range 100 {
		w.succeed(time.Minute, true, maxWindow)
	}
	if w.size != 1 {
		t.Errorf("window of %d to a server that takes a minute each", w.size)
	}
}

func TestAccent(t *testing.T) {
	reply := func(code int, enhanced, text string) mail.Reply {
		e, _ := mail.ParseEnhancedCode(enhanced)
		return mail.Reply{Code: code, Enhanced: e, Text: text}
	}
	plain := func(text string) mail.Reply { return reply(250, "", text) }
	for name, test := range map[string]struct {
		mail, rcpt, final, heard mail.Reply
		slips                    bool
	}{
		"as before":               {reply(250, "2.1.0", "ok"), reply(250, "2.1.5", "ok"), reply(250, "2.0.0", "a"), reply(250, "2.0.0", "b"), false},
		"that of RCPT":            {reply(250, "2.1.0", "ok"), reply(250, "2.1.5", "ok"), reply(250, "2.0.0", "a"), reply(250, "2.1.5", "ok"), true},
		"that of MAIL":            {reply(250, "2.1.0", "ok"), reply(250, "2.1.5", "ok"), reply(250, "2.0.0", "a"), reply(250, "2.1.0", "ok"), true},
		"another":                 {reply(250, "2.1.0", "ok"), reply(250, "2.1.5", "ok"), reply(250, "2.0.0", "a"), reply(250, "2.6.0", "b"), false},
		"one for all":             {plain("ok"), plain("ok"), plain("ok"), plain("ok"), false},
		"by text":                 {plain("OK"), plain("Accepted"), plain("OK id=1"), plain("Accepted"), true},
		"by text, another number": {plain("OK"), plain("Accepted"), plain("OK id=1"), plain("OK id=2"), false},
	} {
		var a accent
		if a.slips(test.heard) {
			t.Errorf("%s: knows what nobody said", name)
		}
		a.learn(MAIL, test.mail)
		a.learn(RCPT, test.rcpt)
		a.learn(Final, test.final)
		a.learn(RCPT, plain("later lessons are ignored"))
		if a.slips(test.heard) != test.slips {
			t.Errorf("%s: %v", name, !test.slips)
		}
	}
}
