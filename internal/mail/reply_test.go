package mail_test

import (
	"encoding/json"
	"testing"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestReply(t *testing.T) {
	for _, tc := range []struct {
		reply                          mail.Reply
		text                           string
		positive, permanent, temporary bool
	}{
		{mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "ok"}, "250 2.0.0 ok", true, false, false},
		{mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}}, "550 5.1.1", false, true, false},
		{mail.Reply{Code: 451, Text: "later"}, "451 later", false, false, true},
		{mail.Reply{Code: 354}, "354", false, false, true},
		{mail.Reply{Code: 600}, "600", false, false, true},
		{mail.Reply{}, "0", false, false, true},
	} {
		r := tc.reply
		if r.String() != tc.text || r.Positive() != tc.positive || r.Permanent() != tc.permanent || r.Temporary() != tc.temporary {
			t.Errorf("%+v: %q %v %v %v", r, r, r.Positive(), r.Permanent(), r.Temporary())
		}
	}
	if !(mail.Reply{}).IsZero() || (mail.Reply{Text: "x"}).IsZero() {
		t.Error("IsZero")
	}
}

func TestReplyJSON(t *testing.T) {
	for _, r := range []mail.Reply{{Code: 250}, {Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 7, Detail: 26}, Text: "no"}} {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back mail.Reply
		if err := json.Unmarshal(data, &back); err != nil || back != r {
			t.Errorf("%s: %+v, %v", data, back, err)
		}
	}
}

func TestParseEnhancedCode(t *testing.T) {
	for in, want := range map[string]mail.EnhancedCode{
		"2.0.0": {Class: 2}, "4.3.1": {Class: 4, Subject: 3, Detail: 1}, "5.7.509": {Class: 5, Subject: 7, Detail: 509}, "5.999.999": {Class: 5, Subject: 999, Detail: 999},
	} {
		if got, ok := mail.ParseEnhancedCode(in); !ok || got != want || got.String() != in {
			t.Errorf("%q: %v, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "5", "5.1", "5.1.1.1", "5.1.1000", "3.1.1", "0.0.0", "05.1.1", "5.-1.1", "5.+1.1", "5..1", "5.1.", "5.1.1 ", "a.b.c", "5.1.٣"} {
		if got, ok := mail.ParseEnhancedCode(in); ok {
			t.Errorf("%q passed as %v", in, got)
		}
	}
	var e mail.EnhancedCode
	if err := e.UnmarshalText([]byte("5.1")); err == nil {
		t.Error("5.1 passed")
	}
	e = mail.EnhancedCode{Class: 5}
	if err := e.UnmarshalText(nil); err != nil || !e.IsZero() {
		t.Error(e, err)
	}
}

func TestNotify(t *testing.T) {
	for in, want := range map[string]string{
		"NEVER": "NEVER", "success": "SUCCESS", "DELAY,Failure,SUCCESS": "SUCCESS,FAILURE,DELAY",
	} {
		if n, err := mail.ParseNotify(in); err != nil || n.String() != want {
			t.Errorf("%q: %q, %v", in, n, err)
		}
	}
	for _, in := range []string{"", ",", "SUCCESS,", "SUCCESS,SUCCESS", "NEVER,DELAY", "ALWAYS", "SUCCESS FAILURE"} {
		if n, err := mail.ParseNotify(in); err == nil || n != 0 {
			t.Errorf("%q passed as %q", in, n)
		}
	}
	if mail.Notify(0).String() != "" {
		t.Error("the zero set has a name")
	}
}

func TestTLSFloor(t *testing.T) {
	for _, floor := range []mail.TLSFloor{mail.TLSOpportunistic, mail.TLSNone, mail.TLSEncrypted, mail.TLSVerified} {
		if got, err := mail.ParseTLSFloor(floor.String()); err != nil || got != floor {
			t.Errorf("%v: %v, %v", floor, got, err)
		}
	}
	for _, in := range []string{"", "TLS", "Verified"} {
		if got, err := mail.ParseTLSFloor(in); err == nil {
			t.Errorf("%q passed as %v", in, got)
		}
	}
	if mail.TLSFloor(9).String() != "tls floor 9" {
		t.Error(mail.TLSFloor(9))
	}
}

func TestScope(t *testing.T) {
	want := []string{"recipient", "message", "session", "site", "scope 4"}
	for i, name := range want {
		if got := mail.Scope(i).String(); got != name {
			t.Errorf("%d: %s", i, got)
		}
	}
}
