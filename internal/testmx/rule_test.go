package testmx

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, address string
		want             bool
	}{
		{"a@x.example", "A@X.example", true},
		{"a@x.example", "aa@x.example", false},
		{"@x.example", "any@x.example", true},
		{"@x.example", "any@y.x.example", false},
		{"*x.example", "any@y.x.example", true},
		{"a*z@*.example", "abcz@what.example", true},
		{"a*z@*.example", "abc@what.example", false},
		{"a*a", "a", false},
		{"*", "", true},
		{"*b*b*", "abc", false},
		{"*b*b*", "abbc", true},
	} {
		if got := newGlob(test.pattern).matches(test.address); got != test.want {
			t.Errorf("%s against %s: %v", test.pattern, test.address, got)
		}
	}
}

func book(rules ...Rule) rulebook { return newRulebook(rules, rand.New(rand.NewPCG(1, 1))) }

func TestRuleConditions(t *testing.T) {
	no := Action{Reply: "550 no"}
	greylist := book(Rule{Command: RCPT, Times: 2, Action: no})
	nth := book(Rule{Command: DATA, Nth: 2, Action: no})
	limited := book(Rule{Command: MAIL, Times: 1, Action: no})
	strikes := func(b *rulebook, c Command, addresses ...string) string {
		if b.fault(c, addresses...) == nil {
			return "."
		}
		return "x"
	}
	got := strikes(&greylist, RCPT, "a@x") + strikes(&greylist, RCPT, "A@x") + strikes(&greylist, RCPT, "b@x") +
		strikes(&greylist, RCPT, "a@x") + strikes(&greylist, MAIL, "a@x") +
		" " + strikes(&nth, DATA, "a") + strikes(&nth, DATA, "a") + strikes(&nth, DATA, "a") +
		" " + strikes(&limited, MAIL, "a") + strikes(&limited, MAIL, "b")
	if want := "xxx.. .x. x."; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRuleProbabilityIsRepeatable(t *testing.T) {
	run := func() (struck int, pattern string) {
		b := book(Rule{Command: RCPT, Probability: 0.25, Action: Action{Drop: true}})
		for range 1000 {
			if b.fault(RCPT, "a@x") != nil {
				struck++
				pattern += "x"
			} else {
				pattern += "."
			}
		}
		return struck, pattern
	}
	n, first := run()
	if _, second := run(); n < 180 || n > 320 || first != second {
		t.Errorf("struck %d of 1000", n)
	}
}

func TestRulesTogether(t *testing.T) {
	b := book(
		Rule{Action: Action{Delay: time.Second}},
		Rule{Command: RCPT, Pattern: "@x", Action: Action{Reply: "450 first", Delay: time.Minute}},
		Rule{Command: RCPT, Action: Action{Reply: "550 second"}},
	)
	if f := b.fault(RCPT, "a@x"); f.Reply != "450 first" || f.Delay != time.Minute+time.Second {
		t.Errorf("%+v", f)
	}
	if f := b.fault(RCPT, "a@y"); f.Reply != "550 second" || f.Delay != time.Second {
		t.Errorf("%+v", f)
	}
	if f := b.fault(NOOP); f.Reply != "" || f.Delay != time.Second {
		t.Errorf("%+v", f)
	}
}

func TestFaultsOnTheWire(t *testing.T) {
	server, addr := Start(t, Options{Rules: []Rule{
		{Command: MAIL, Pattern: "raw@x", Action: Action{Raw: []byte("\x00raw\r\n")}},
		{Command: MAIL, Pattern: "slow@x", Action: Action{Reply: "250-a\n250 b", Slow: time.Microsecond}},
		{Command: RCPT, Pattern: "no@x", Action: Action{Reply: "550 no"}},
		{Command: RCPT, Pattern: "end@x", Action: Action{Reply: "421 end"}},
		{Command: Content, Pattern: "cut@x", Action: Action{DropAfter: 10}},
		{Command: NOOP, Action: Action{Drop: true}},
		{Command: QUIT, Action: Action{Reply: "221 so\n221 long", Close: true}},
	}})
	c := greeted(t, addr)
	c.say("MAIL FROM:<raw@x>")
	c.expect("\x00raw")
	c.say("RCPT TO:<a@x>") // MAIL had no effect
	c.expect("503")
	c.say("MAIL FROM:<slow@x>")
	if got := c.expect("250"); got != "250-a\n250 b" {
		t.Errorf("%q", got)
	}
	c.say("RCPT TO:<no@x>", "RCPT TO:<end@x>")
	c.expect("550", "421")
	c.expectClosed()

	c = greeted(t, addr)
	c.say("NOOP")
	c.expectClosed()

	c = greeted(t, addr)
	c.say("MAIL FROM:<>", "RCPT TO:<cut@x>", "DATA")
	c.expect("250", "250", "354")
	c.write(strings.Repeat("x", 100))
	c.expectClosed()

	c = greeted(t, addr)
	c.say("QUIT")
	c.expect("221", "221")
	c.expectClosed()
	n := server.Counters()
	if n.Dropped != 2 || n.Domains["x"].Refused != 2 || n.Messages != 0 {
		t.Errorf("%+v", n)
	}
}
