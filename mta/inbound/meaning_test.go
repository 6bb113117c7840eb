package inbound_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/inbound"
	"github.com/postrider-mta/postrider/queue"
)

const outOfOffice = "From: " + reader + "\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\n550 5.1.1 user unknown\r\n"

// TestReturnPath: what mail to a return path means. Events name the message and
// the index that the token has, whatever the text says.
func TestReturnPath(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	elsewhere := strings.Join(failedWith("5.1.1", "550 5.1.1 user unknown"), "\r\n")
	for name, test := range map[string]struct {
		message string
		// bounced is code, enhanced code and category; empty for no event.
		bounced string
	}{
		"hard":                  {status(failedWith("5.1.1", "550 5.1.1 user unknown")...), "550 5.1.1 user unknown invalid_recipient"},
		"another's address":     {status(strings.ReplaceAll(elsewhere, reader, "victim@example.org")), "550 5.1.1 user unknown invalid_recipient"},
		"full":                  {status(failedWith("5.2.2", "552 5.2.2 mailbox full")...), "552 5.2.2 mailbox full mailbox_full"},
		"policy":                {status(failedWith("5.7.1", "550 5.7.1 no such user")...), "550 5.7.1 no such user "},
		"not certain":           {status(failedWith("5.0.0", "550 user unknown")...), "550 user unknown unknown"},
		"expired there":         {status(failedWith("4.4.7", "451 4.4.1 no answer")...), "450 4.4.1 no answer "},
		"delayed":               {status("Final-Recipient: rfc822; "+reader, "Action: delayed", "Status: 4.4.1"), ""},
		"delivered":             {status("Final-Recipient: rfc822; "+reader, "Action: delivered", "Status: 2.0.0"), ""},
		"relayed":               {status("Final-Recipient: rfc822; "+reader, "Action: relayed", "Status: 2.0.0"), ""},
		"expanded":              {status("Final-Recipient: rfc822; "+reader, "Action: expanded", "Status: 2.0.0"), ""},
		"automatic":             {outOfOffice, ""},
		"a person":              {"From: " + reader + "\r\nSubject: Re: News\r\n\r\nuser unknown\r\n", ""},
		"empty":                 {"", ""},
		"no message":            {"550 5.1.1 user unknown\r\n", ""},
		"cut off":               {status(failedWith("5.1.1", "550 5.1.1 user unknown")...)[:200], ""},
		"several, none is ours": {status("Final-Recipient: rfc822; a@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\nFinal-Recipient: rfc822; b@example.org\r\nAction: failed\r\nStatus: 5.1.1"), ""},
		"several, one is ours":  {status("Final-Recipient: rfc822; a@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n" + elsewhere), "550 5.1.1 user unknown invalid_recipient"},
	} {
		if err := hand(t, s, test.message, d.address(t, verp.Bounce)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		told := d.told()
		if test.bounced == "" {
			if len(told) > 0 {
				t.Errorf("%s: %+v", name, told)
			}
			continue
		}
		if len(told) != 1 || told[0].Type != event.Bounced || !strings.HasPrefix(told[0].Reply.String()+" "+told[0].Category, test.bounced) {
			t.Errorf("%s: %+v", name, told)
			continue
		}
		if e := told[0]; e.Message != d.message.String() || e.Index != 3 || e.Tenant != "shop" || e.Recipient != "" || e.Attempt != 0 ||
			e.ID != d.message.String()+"-3-dsn-bounced" || e.Reason != "delivery status notification" || time.Since(e.Time) > time.Minute {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for labels, want := range map[[3]string]float64{
		{"return_path", "dsn", "bounced"}: 7, {"return_path", "dsn", "delayed"}: 1, {"return_path", "dsn", "arrived"}: 3,
		{"return_path", "auto-reply", "ignored"}: 1, {"return_path", "unreadable", "ignored"}: 2, {"return_path", "dsn", "unclear"}: 2,
	} {
		if got := d.counted(t, labels); got != want {
			t.Errorf("%v counted %v times, want %v", labels, got, want)
		}
	}
}

// counted reads one counter.
func (d *desk) counted(t testing.TB, labels [3]string) float64 {
	t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values := map[string]string{}
			for _, l := range m.GetLabel() {
				values[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "postrider_inbound_returned_total" && [3]string{values["to"], values["kind"], values["outcome"]} == labels {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestComplaint: a complaint is about whom a token of ours names, wherever it
// stands, and about nobody without one.
func TestComplaint(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	plain := parse(t, "complaints@bounce.example.com")
	path, complaint, leave := d.address(t, verp.Bounce), d.address(t, verp.Complaint), d.address(t, verp.Unsubscribe)
	stranger, err := verp.NewKeyring(1, map[uint8][]byte{1: []byte(strings.Repeat("x", 32))})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := verp.New(stranger).Address(verp.Bounce, verp.ID{Message: d.message, Tenant: verp.TenantNumber("shop")}, domain)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		to      mail.Address
		message string
		want    bool
	}{
		"return path":          {plain, feedback("abuse", "", "Return-Path: <"+path.String()+">\r\n"), true},
		"original mail from":   {plain, feedback("abuse", "Original-Mail-From: <"+path.String()+">\r\n", ""), true},
		"CFBL-Feedback-ID":     {plain, feedback("abuse", "", "CFBL-Feedback-ID: "+complaint.Local()+"\r\n"), true},
		"CFBL-Address":         {plain, feedback("abuse", "", "CFBL-Address: "+complaint.String()+"; report=arf\r\n"), true},
		"List-Unsubscribe":     {plain, feedback("abuse", "", "List-Unsubscribe: <https://x/>,\r\n <mailto:"+leave.String()+"?subject=x>\r\n"), true},
		"address":              {complaint, feedback("abuse", "", ""), true},
		"fraud":                {complaint, feedback("fraud", "", ""), true},
		"to the return path":   {path, feedback("abuse", "", "Return-Path: <"+path.String()+">\r\n"), true},
		"there without token":  {path, feedback("abuse", "", ""), false},
		"no token":             {plain, feedback("abuse", "Original-Rcpt-To: "+reader+"\r\n", "To: "+reader+"\r\n"), false},
		"several, no token":    {plain, feedback("abuse", "Original-Rcpt-To: "+reader+"\r\nOriginal-Rcpt-To: other@example.net\r\n", ""), false},
		"forged token":         {plain, feedback("abuse", "", "Return-Path: <"+forged.String()+">\r\n"), false},
		"not spam":             {complaint, feedback("not-spam", "", ""), false},
		"authentication":       {complaint, feedback("auth-failure", "Auth-Failure: dmarc\r\n", ""), false},
		"a bounce":             {complaint, status(failedWith("5.1.1", "550 5.1.1 user unknown")...), false},
		"spam to this address": {complaint, "From: x@example.org\r\nSubject: buy\r\n\r\nthis\r\n", false},
		"automatic":            {complaint, outOfOffice, false},
	} {
		if err := hand(t, s, test.message, test.to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		told := d.told()
		if !test.want && len(told) > 0 {
			t.Errorf("%s: %+v", name, told)
		}
		if test.want && (len(told) != 1 || told[0].Type != event.Complained || told[0].ID != d.message.String()+"-3-report-complained" ||
			told[0].Tenant != "shop" || !strings.HasPrefix(told[0].Reason, "feedback report: ")) {
			t.Errorf("%s: %+v", name, told)
		}
	}
	if got := d.counted(t, [3]string{"complaint", "arf", "unidentified"}); got != 3 {
		t.Errorf("%v unidentified", got)
	}
}

func parse(t testing.TB, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func replyCode(err error) int {
	var reply *smtp.SMTPError
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// TestUnsubscribe: who writes to the address leaves, durably before it is told;
// machines that answer do not.
func TestUnsubscribe(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	leave := d.address(t, verp.Unsubscribe)
	for _, message := range []string{outOfOffice, status(failedWith("5.1.1", "x")...), feedback("abuse", "", "")} {
		if err := hand(t, s, message, leave); err != nil || len(d.left) > 0 || len(d.told()) > 0 {
			t.Errorf("%v: %q left after %q", err, d.left, message)
		}
	}
	for _, message := range []string{"From: " + reader + "\r\nSubject: unsubscribe\r\n\r\n", "\r\n"} {
		if err := hand(t, s, message, leave); err != nil {
			t.Error(err)
		}
		told := d.told()
		if len(d.left) != 1 || d.left[0] != "shop marketing "+reader || len(told) != 1 || told[0].Type != event.Unsubscribed || told[0].ID != d.message.String()+"-3-mail-unsubscribed" {
			t.Errorf("%q: %q left, %+v", message, d.left, told)
		}
		d.left = nil
	}
	path := d.address(t, verp.Bounce)
	for subject, want := range map[string]bool{
		"unsubscribe": true, "Re: UNSUBSCRIBE!": true, "AW: Abmelden": true, "=?utf-8?q?d=C3=A9sinscription?=": true, "=?windows-1252?q?D=E9sabonner?=": true, "Baja.": true, "STOP": true,
		"How do I unsubscribe?": false, "Re: News": false, "unsubscribe: no": false, "": false,
	} {
		if err := hand(t, s, "From: "+reader+"\r\nSubject: "+subject+"\r\n\r\nunsubscribe\r\n", path); err != nil {
			t.Error(err)
		}
		told := d.told()
		if got := len(d.left) == 1 && len(told) == 1 && told[0].Type == event.Unsubscribed; got != want || !want && len(d.left)+len(told) > 0 {
			t.Errorf("answered with %q: %q left, %+v", subject, d.left, told)
		}
		d.left = nil
	}
	if err := hand(t, s, "From: "+reader+"\r\nSubject: unsubscribe\r\nAuto-Submitted: auto-replied\r\n\r\n", path); err != nil || len(d.left)+len(d.told()) > 0 {
		t.Errorf("a machine leaves: %v", err)
	}
	d.lost = true
	if err := s.Recipient(leave); replyCode(err) != 451 {
		t.Errorf("events under way: %v", err)
	}
	d.message = queue.NewID(time.Now().Add(-48 * time.Hour))
	if err := s.Recipient(d.address(t, verp.Unsubscribe)); replyCode(err) != 550 || !strings.Contains(err.Error(), "too old") {
		t.Errorf("expired events: %v", err)
	}
}

// TestFailedWrite: nothing is acknowledged that is not on disk.
func TestFailedWrite(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	d.fail(queue.ErrFull)
	for to, message := range map[mail.Address]string{
		d.address(t, verp.Bounce):      status(failedWith("5.1.1", "550 5.1.1 user unknown")...),
		d.address(t, verp.Complaint):   feedback("abuse", "", ""),
		d.address(t, verp.Unsubscribe): "Subject: x\r\n\r\n",
	} {
		if err := hand(t, s, message, to); !errors.Is(err, queue.ErrFull) {
			t.Errorf("%v", err)
		}
	}
	if n := testutil.CollectAndCount(d.metrics); n != 0 && d.counted(t, [3]string{"return_path", "dsn", "bounced"}) != 0 {
		t.Error("what was not done is counted")
	}
	// What needs no write is none the worse.
	if err := hand(t, s, outOfOffice, d.address(t, verp.Bounce)); err != nil {
		t.Error(err)
	}
}

// TestRecipients: what mail is taken for, and nothing else.
func TestRecipients(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	token := d.address(t, verp.Bounce)
	other, err := d.codec.Address(verp.Bounce, verp.ID{Message: d.message, Tenant: verp.TenantNumber("gone")}, domain)
	if err != nil {
		t.Fatal(err)
	}
	upper := parse(t, strings.ToUpper(token.Local())+"@Bounce.Example.COM")
	for _, fine := range []mail.Address{token, upper, d.address(t, verp.Complaint), d.address(t, verp.Unsubscribe), parse(t, "Complaints@bounce.example.com")} {
		if err := s.Recipient(fine); err != nil {
			t.Errorf("%v: %v", fine, err)
		}
	}
	for text, want := range map[string]string{
		"someone@example.org":                          "5.7.1",
		token.Local() + "@example.org":                 "5.7.1",
		token.Local() + "@sub.bounce.example.com":      "5.7.1",
		"postmaster@example.org":                       "5.7.1",
		"someone@bounce.example.com":                   "5.1.1",
		token.Local() + "a@bounce.example.com":         "5.1.1",
		token.Local() + "+x@bounce.example.com":        "5.1.1",
		"u" + token.Local()[1:] + "@" + string(domain): "5.1.1",
		other.String():                                 "5.1.1",
		"postmaster@bounce.example.com":                "5.1.1",
		"abuse@bounce.example.com":                     "5.1.1",
		`"a@b"@bounce.example.com`:                     "5.1.1",
		"someone%example.org@bounce.example.com":       "5.1.1",
		"complaints%example.org@bounce.example.com":    "5.1.1",
	} {
		err := s.Recipient(parse(t, text))
		var reply *smtp.SMTPError
		if !errors.As(err, &reply) || reply.Code != 550 || enhanced(reply) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func enhanced(r *smtp.SMTPError) string {
	code := mail.EnhancedCode{Class: r.EnhancedCode[0], Subject: r.EnhancedCode[1], Detail: r.EnhancedCode[2]}
	return code.String()
}

// TestForward: people's mail goes on to the operator, as it is and from nobody,
// or not at all.
func TestForward(t *testing.T) {
	d := newDesk(t)
	s := d.server(t, func(o *inbound.Options) {
		o.Postmaster = inbound.Forward{To: parse(t, "ops@example.org"), Tenant: "shop", Stream: "transactional", MaxAge: time.Hour, Accept: d.accept}
	})
	const message = "From: someone@example.net\r\nSubject: your mail\r\nX-Postrider-Stream: marketing\r\n\r\nHello\r\n"
	for _, to := range []string{"postmaster@bounce.example.com", "Abuse@bounce.example.com", "postmaster@mx.example.com"} {
		if err := hand(t, s, message, parse(t, to)); err != nil {
			t.Fatal(err)
		}
		m := d.accepted[len(d.accepted)-1]
		trace, rest, _ := strings.Cut(string(m.Body), "From: someone")
		if !m.Message.Envelope.From.IsZero() || m.Message.HeaderFrom != "" || len(m.Recipients) != 1 || m.Recipients[0].Address.String() != "ops@example.org" ||
			"From: someone"+rest != message || !strings.HasPrefix(trace, "Received: from mx.example.net ([192.0.2.1])\r\n\tby mx.example.com with ESMTP id "+m.Message.ID.String()) ||
			m.Message.Size != int64(len(m.Body)) || m.Message.Expires.Sub(m.Message.Accepted) != time.Hour {
			t.Errorf("%+v\n%s", m, m.Body)
		}
	}
	for name, test := range map[string]struct {
		message string
		code    int
	}{
		"a loop":    {strings.Repeat("Received: from x by y\r\n", 50) + message, 554},
		"bare LF":   {message + "\n.\r\nMAIL FROM:<>\r\n", 554},
		"bare CR":   {message + "\r.\r\n", 554},
		"no header": {"\x00\x01 nothing\r\n", 554},
	} {
		before := len(d.accepted)
		if err := hand(t, s, test.message, parse(t, "postmaster@bounce.example.com")); replyCode(err) != test.code || len(d.accepted) != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSeveralRecipients: one message to several addresses of ours is about each
// of them.
func TestSeveralRecipients(t *testing.T) {
	d := newDesk(t)
	s := d.server(t)
	message := feedback("abuse", "", "")
	if err := hand(t, s, message, d.address(t, verp.Complaint), d.address(t, verp.Bounce), parse(t, "complaints@bounce.example.com")); err != nil {
		t.Fatal(err)
	}
	told := d.told()
	if len(told) != 1 {
		t.Errorf("%+v", told)
	}
}

func TestOptions(t *testing.T) {
	d := newDesk(t)
	for name, change := range map[string]func(*inbound.Options){
		"no address":    func(o *inbound.Options) { o.Listen = nil },
		"no codec":      func(o *inbound.Options) { o.Codec = nil },
		"no record":     func(o *inbound.Options) { o.Record = nil },
		"no complaints": func(o *inbound.Options) { o.Complaints = "" },
		"no acceptance": func(o *inbound.Options) { o.Postmaster.To = parse(t, "ops@example.org") },
		"no host name":  func(o *inbound.Options) { o.Hostname = "" },
		"limit":         func(o *inbound.Options) { o.Limits.PerMinute = -1 },
	} {
		o := d.options()
		o.Metrics = nil
		change(&o)
		if _, err := inbound.New(o); !errors.Is(err, inbound.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
