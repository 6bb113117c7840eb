package report_test

import (
	"testing"

	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// TestWords reads bounces that have no fields, each in the manner of a kind of
// system.
func TestWords(t *testing.T) {
	const from = "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: shop@example.com\n"
	const back = "Return-Path: <shop@example.com>\nReceived: from a by b\nMessage-ID: <7@example.com>\nFrom: shop@example.com\nTo: reader@example.net\n\nhello, somebody@example.org: 550 5.1.1 user unknown\n"
	for name, c := range map[string]struct {
		message  string
		action   bounce.Action
		status   string
		category bounce.Category
		strength report.Strength
	}{
		"qmail": {
			from + "Subject: failure notice\n\nHi. This is the qmail-send program at mx.example.net.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\n" +
				"<reader@example.net>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\n" + back,
			bounce.Failed, "5.1.1", bounce.InvalidRecipient, report.Hard,
		},
		"qmail, remote": {
			from + "Subject: failure notice\n\nHi. This is the qmail-send program at mx.example.net.\n\n<reader@example.net>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 no such user\nGiving up on 192.0.2.1.\n\n--- Below this line is a copy of the message.\n\n" + back,
			bounce.Failed, "", bounce.InvalidRecipient, report.Hard,
		},
		"qmail, content": {
			from + "Subject: failure notice\n\nHi. This is the qmail-send program at mx.example.net.\n\n<reader@example.net>:\n192.0.2.1 failed after I sent the message.\nRemote host said: 550 no such user\n\n--- Below this line is a copy of the message.\n\n" + back,
			bounce.Failed, "", bounce.InvalidRecipient, report.Soft,
		},
		"Exim": {
			from + "X-Failed-Recipients: reader@example.net\nAuto-Submitted: auto-replied\nSubject: Mail delivery failed: returning message to sender\n\n" +
				"A message that you sent could not be delivered.\n\n  reader@example.net\n    host mx.example.net [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<reader@example.net>:\n    550 no such user here\n\n------ This is a copy of the message, including all the headers. ------\n\n" + back,
			bounce.Failed, "", bounce.InvalidRecipient, report.Hard,
		},
		"a delay": {
			from + "Subject: Delivery Status Notification (Delay)\n\nTHIS IS A WARNING MESSAGE ONLY.\n\nDelivery to the following recipient has been delayed:\n\n     reader@example.net\n\nThe error was: 450 4.2.2 mailbox full\n\n   ----- Message header follows -----\n\n" + back,
			bounce.Delayed, "4.2.2", bounce.MailboxFull, report.Soft,
		},
		"one line": {
			from + "Subject: Undeliverable Mail\n\nUser mailbox exceeds allowed size: reader@example.net\n\nOriginal message follows.\n\n" + back,
			bounce.Failed, "", "", report.Soft,
		},
		"a sentence": {
			from + "Subject: Mail delivery failed\n\nThere was an error delivering your mail to <reader@example.net>.\n\nmx.example.net [192.0.2.1] did not like our RCPT TO:\n550 5.1.1 unknown\n\nMessage headers follow.\n\n" + back,
			bounce.Failed, "5.1.1", bounce.InvalidRecipient, report.Hard,
		},
		"a transcript": {
			from + "Subject: Returned mail: User unknown\n\n   ----- Transcript of session follows -----\n>>> RCPT To:<reader@example.net>\n<<< 550 <reader@example.net>... User unknown\n550 <reader@example.net>... User unknown\n\n   ----- Unsent message follows -----\n" + back,
			bounce.Failed, "", bounce.InvalidRecipient, report.Hard,
		},
		"nobody named": {
			from + "Subject: Undeliverable Message\n\nMessage could not be delivered to mobile.\n\n" + back,
			bounce.Failed, "", "", report.Soft,
		},
		"HTML": {
			from + "Subject: Undeliverable: hello\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<html><style>a@b{}</style><p>Delivery has failed to these recipients:</p><div>reader@example.net</div><p>Remote Server returned =27550 5.1.10 not found=27</p></html>\n",
			bounce.Failed, "5.1.10", bounce.InvalidRecipient, report.Hard,
		},
		"no fields in its status": {
			multipart + statusOf + "This message was undeliverable:\n\n<reader@example.net> has restricted SMS e-mail\n\n--b\nContent-Type: message/rfc822\n\n" + back + "\n--b--\n",
			bounce.Failed, "", bounce.Policy, report.Soft,
		},
		"a mailing list": {
			"From: list-admin@example.net\nTo: shop@example.com\nSubject: You are not member (list ML)\n\nYou are not a member of this mailing list <reader@example.net>.\n",
			bounce.Failed, "", "", report.Soft,
		},
	} {
		r := parse(t, c.message)
		if r.Kind != report.DSN || r.Standard || len(r.Recipients) != 1 {
			t.Errorf("%s: %s %+v", name, r.Kind, r.Recipients)
			continue
		}
		got := r.Recipients[0]
		if got.Address != "reader@example.net" || got.Action != c.action || got.Status != c.status || got.Bounce != c.strength || c.category != "" && got.Category != c.category {
			t.Errorf("%s: %+v", name, got)
		}
		if r.Original.Header != nil && (r.Original.MessageID != "7@example.com" || r.Original.ReturnPath != "shop@example.com") {
			t.Errorf("%s: %+v", name, r.Original)
		}
	}
}

// TestWrappedWords reads the reply out of a report that a gateway wrapped.
func TestWrappedWords(t *testing.T) {
	r := parse(t, "From: postmaster@gateway.example.com\nSubject: Mail could not be delivered\nContent-Type: multipart/mixed; boundary=g\n\n--g\n\nUnable to deliver message to <reader@example.net> (and others).\n"+
		"--g\nContent-Type: message/rfc822\n\nSubject: x\n\n----- The following addresses had permanent fatal errors -----\n<reader@example.net>\n\n>>> RCPT To:<reader@example.net>\n<<< 550 5.1.1 no such user\n--g--\n")
	if len(r.Recipients) != 1 || r.Recipients[0].Bounce != report.Hard || r.Recipients[0].Status != "5.1.1" {
		t.Errorf("%+v", r.Recipients)
	}
}

// TestAutoReply tells machines that answer for their owners from mail systems
// and from people.
func TestAutoReply(t *testing.T) {
	const person = "From: reader@example.net\nTo: shop@example.com\n"
	const left = "\n\nI have left the company. The address reader@example.net does not exist any longer: user unknown, mail is not delivered.\n"
	for name, c := range map[string]struct {
		message string
		kind    report.Kind
		sign    string
	}{
		"RFC 3834":              {person + "Subject: hello\nAuto-Submitted: auto-replied (vacation)" + left, report.AutoReply, "Auto-Submitted"},
		"Exchange":              {person + "Subject: Automatic reply: hello\nAuto-Submitted: auto-generated\nX-Auto-Response-Suppress: All" + left, report.AutoReply, "Auto-Submitted"},
		"X-Autoreply":           {person + "Subject: hello\nX-Autoreply: yes" + left, report.AutoReply, "X-Autoreply"},
		"X-Autoreply no":        {person + "Subject: hello\nX-Autoreply: no\n\nfine\n", report.Other, ""},
		"Precedence":            {person + "Subject: hello\nPrecedence: auto_reply" + left, report.AutoReply, "Precedence"},
		"bulk in reply":         {"Return-Path: <>\n" + person + "Subject: hello\nIn-Reply-To: <1@x>\nPrecedence: bulk" + left, report.AutoReply, "Precedence"},
		"generated, no reply":   {person + "Subject: report of the night\nAuto-Submitted: auto-generated\n\nfine\n", report.Other, ""},
		"not automatic":         {person + "Subject: hello\nAuto-Submitted: no\n\nfine\n", report.Other, ""},
		"English":               {person + "Subject: Out of Office: hello" + left, report.AutoReply, "subject"},
		"German":                {person + "Subject: =?utf-8?q?Abwesenheitsnotiz=3A_hallo?=" + left, report.AutoReply, "subject"},
		"French":                {person + "Subject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_bonjour?=" + left, report.AutoReply, "subject"},
		"Spanish":               {person + "Subject: Respuesta automática: hola" + left, report.AutoReply, "subject"},
		"Polish":                {person + "Subject: Automatyczna odpowiedź: hej" + left, report.AutoReply, "subject"},
		"Russian":               {person + "Subject: Re: Автоответ: привет" + left, report.AutoReply, "subject"},
		"Japanese":              {person + "Subject: =?iso-2022-jp?B?GyRCPCtGMEpWPy4bKEI=?=" + left, report.AutoReply, "subject"},
		"Chinese":               {person + "Subject: 自动回复：你好" + left, report.AutoReply, "subject"},
		"a challenge":           {person + "Subject: Please confirm your message to reader" + left, report.AutoReply, "challenge"},
		"a receipt":             {person + "Subject: Read: hello\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;reader@example.net\nDisposition: automatic-action/MDN-sent-automatically; deleted\n--b--\n", report.AutoReply, "message/disposition-notification"},
		"a postmaster away":     {"From: postmaster@example.net\nSubject: Automatic reply: hello" + left, report.AutoReply, "subject"},
		"a person":              {person + "Subject: Re: hello" + left, report.Other, ""},
		"about delivery":        {person + "Subject: Delivery report of parcel 7\n\nYour parcel is on its way.\n", report.Other, ""},
		"a bounce that says so": {"From: mailer-daemon@example.net\nSubject: Mail delivery failed\nAuto-Submitted: auto-replied\n\n<reader@example.net>: 550 5.1.1 user unknown\n", report.DSN, "words"},
	} {
		r := parse(t, c.message)
		if r.Kind != c.kind || r.Sign != c.sign {
			t.Errorf("%s: %s by %q", name, r.Kind, r.Sign)
		}
		if r.Kind != report.DSN && len(r.Recipients) > 0 {
			t.Errorf("%s: recipients %+v", name, r.Recipients)
		}
	}
}
