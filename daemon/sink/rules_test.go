package sink

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestParseRules(t *testing.T) {
	got, err := ParseRules([]string{
		"# greylisting", "",
		"rcpt:@defer.example=451 4.2.1 try later;times=1",
		"data=554 5.7.1 no",
		" connect=421 4.7.0 busy ; probability=0.1",
		`message:a*@x.example=550-5.7.1 one\; two\n550 5.7.1 \\three;delay=1s;nth=3;close`,
		"delay=50ms", "slow", "slow=1ms;probability=1", "drop-after=1000", "RCPT:x@y.example;drop",
		"mail=250", "no-starttls", "no-pipelining",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Behaviour{
		Without: testmx.Extensions{TLS: true, Pipelining: true},
		Rules: []testmx.Rule{
			{Command: testmx.RCPT, Pattern: "@defer.example", Times: 1, Action: testmx.Action{Reply: "451 4.2.1 try later"}},
			{Command: testmx.DATA, Action: testmx.Action{Reply: "554 5.7.1 no"}},
			{Command: testmx.Connect, Probability: 0.1, Action: testmx.Action{Reply: "421 4.7.0 busy"}},
			{
				Command: testmx.Content, Pattern: "a*@x.example", Nth: 3,
				Action: testmx.Action{Reply: "550-5.7.1 one; two\n550 5.7.1 \\three", Delay: time.Second, Close: true},
			},
			{Action: testmx.Action{Delay: 50 * time.Millisecond}},
			{Action: testmx.Action{Slow: defaultSlow}},
			{Probability: 1, Action: testmx.Action{Slow: time.Millisecond}},
			{Command: testmx.Content, Action: testmx.Action{DropAfter: 1000}},
			{Command: testmx.RCPT, Pattern: "x@y.example", Action: testmx.Action{Drop: true}},
			{Command: testmx.MAIL, Action: testmx.Action{Reply: "250"}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseRulesSaysWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		"no-way":                   `no extension "way"; there are 8bitmime, chunking`,
		"recipient:@x=550 no":      `no command "recipient"; there are connect, ehlo`,
		"rcpt:=550 no":             "an address pattern belongs behind the colon",
		"ehlo:@x=550 no":           "ehlo has no address",
		"rcpt:@x":                  "does nothing",
		"rcpt:@x;times=1":          "does nothing",
		"rcpt:@x=nope":             `reply "nope" does not begin with a code`,
		"rcpt:@x=5":                `reply "5" does not begin with a code`,
		"rcpt:@x=650 x":            "does not begin with a code from 200 to 599",
		"rcpt:@x=550x":             "does not begin with a code",
		"rcpt=550 no;time=1":       `no option "time"; there are times`,
		"rcpt=550 no;times=0":      `times: "0" is not a number from 1 up`,
		"rcpt=550 no;times":        `times: "" is not a number`,
		"rcpt=550 no;nth=x":        `nth: "x" is not`,
		"rcpt=550 no;delay=5":      `delay: "5" is not a duration`,
		"rcpt=550 no;delay=-5s":    "is not a duration",
		"rcpt;slow=":               "slow: \"\" is not a duration",
		"rcpt=5;probability=0":     "does not begin",
		"rcpt=550;probability=0":   "is not a number above 0",
		"rcpt=550;probability=1.1": "is not a number above 0",
		"rcpt=550;probability=NaN": "is not a number above 0",
		"rcpt;drop=now":            "drop: takes no value",
		"rcpt;drop-after=5":        "the command must be message",
		"=550 no":                  `no command ""`,
		"rcpt=550 no;":             `no option ""`,
	} {
		_, err := ParseRules([]string{"data=550 no", line})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rule 2, ") {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
	if _, err := ParseRules([]string{"x", "y"}); err == nil || !strings.Contains(err.Error(), "rule 1") || !strings.Contains(err.Error(), "rule 2") {
		t.Errorf("not all errors at once: %v", err)
	}
}

func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{
		"rcpt:@defer.example=451 4.2.1 try later;times=1", `message=550-a\n550 b\;c;slow;close`,
		"no-starttls", "delay=50ms;probability=.5", `\`, ";;;", "drop-after=1\nx=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseRules(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		for _, r := range got.Rules {
			if r.Probability < 0 || r.Probability > 1 || r.Delay < 0 || r.Slow < 0 || r.Times < 0 || r.DropAfter < 0 {
				t.Fatalf("%q became %+v", text, r)
			}
			if reflect.DeepEqual(r.Action, testmx.Action{}) {
				t.Fatalf("%q does nothing: %+v", text, r)
			}
		}
	})
}
