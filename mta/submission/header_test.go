package submission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
)

// submitted sends a message and returns what was queued, without what is
// added in front.
func submitted(t *testing.T, f *fixture, message string) string {
	t.Helper()
	c := f.greeted(0)
	defer c.conn.Close()
	c.envelope()
	c.say("DATA", "354")
	c.say(message+"\r\n.", "250")
	body := string(f.store.last(t).Body)
	if !strings.HasPrefix(body, "Received: ") {
		t.Fatalf("no Received in front: %q", body)
	}
	end := 0
	for range 3 {
		end += strings.Index(body[end:], "\r\n") + 2
	}
	return body[end:]
}

func TestHeaderIsCompleted(t *testing.T) {
	f := startTrusted(t)
	const complete = "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@example.com>\r\nFrom: a@example.com\r\n"
	for message, want := range map[string]string{
		complete + "\r\nx":                complete + "\r\nx\r\n",
		complete:                          complete + "\r\n",
		complete + "not a field\r\n\r\nx": complete + "\r\nnot a field\r\n\r\nx\r\n",
		"From sender Mon Jan 1\r\n" + complete + "\r\nx": complete + "\r\nx\r\n",
		">From sender 10:00:00\r\n" + complete + "\r\nx": complete + "\r\nx\r\n",
		"Bcc: h@example.net,\r\n\ti@example.net\r\n" + complete + "bcc : j@example.net\r\nResent-Bcc: k@example.net\r\n" +
			"Return-Path: <l@example.net>\r\nX-Postrider-Tag: t\r\n\r\nBcc: body": complete + "\r\nBcc: body\r\n",
		complete + "X-Folded: a\r\n b\r\n\tc\r\n\r\n\r\n": complete + "X-Folded: a\r\n b\r\n\tc\r\n\r\n\r\n\r\n",
	} {
		if got := submitted(t, f, message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
	got := submitted(t, f, "Message-ID:\r\nDate: \r\nFrom: a@example.com\r\n\r\nx")
	if strings.Count(got, "Message-ID:") != 1 || strings.Count(got, "Date:") != 1 || strings.Contains(got, "Date: \r\n") {
		t.Errorf("empty fields: %q", got)
	}
}

func TestDotStuffing(t *testing.T) {
	f := startTrusted(t)
	const head = "From: a@example.com\r\n\r\n"
	for message, want := range map[string]string{
		"..\r\n..x\r\n...\r\n.y":                 ".\r\n.x\r\n..\r\ny\r\n",
		strings.Repeat("..\r\n", 30_000) + "end": strings.Repeat(".\r\n", 30_000) + "end\r\n",
		strings.Repeat("x", 200_000):             strings.Repeat("x", 200_000) + "\r\n",
	} {
		got := submitted(t, f, head+message)
		if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != want {
			t.Errorf("%.40q: got %.40q", message, body)
		}
	}
	// A dot in front of the first line is stuffed too.
	if got := submitted(t, f, ".From: a@example.com\r\n\r\nx"); !strings.Contains(got, "\r\nFrom: a@example.com\r\n\r\nx\r\n") {
		t.Errorf("%q", got)
	}
}

// However the octets arrive, the message is the same, and so is what follows.
func TestSplitArrival(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	stream := "MAIL FROM:<sender@example.com>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n" + simple + "\r\n..dot\r\n.\r\nNOOP\r\n"
	for cut := 1; cut < len(stream); cut += 3 {
		c.send(stream[:cut])
		time.Sleep(time.Millisecond)
		c.send(stream[cut:])
		for _, want := range []string{"250", "250", "354", "250 2.0.0 queued", "250"} {
			c.expect(want)
		}
		if body := f.store.last(t).Body; !bytes.HasSuffix(body, []byte("Hello.\r\n.dot\r\n")) {
			t.Fatalf("cut at %d: %q", cut, body)
		}
	}
	if f.store.count() != (len(stream)+1)/3 {
		t.Errorf("%d messages", f.store.count())
	}
}

func TestChunks(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.envelope()
	c.send("BDAT 0\r\nBDAT 10\r\n" + simple[:10] + fmt.Sprintf("BDAT %d\r\n%s", len(simple)-10, simple[10:]) + "BDAT 0 LAST\r\n")
	for _, want := range []string{"250", "250", "250", "250 2.0.0 queued"} {
		c.expect(want)
	}
	if body := f.store.last(t).Body; !bytes.HasSuffix(body, []byte(simple+"\r\n")) {
		t.Errorf("%q", body)
	}
	c.envelope()
	c.send("BDAT 10\r\n" + simple[:10])
	c.expect("250")
	c.say("DATA", "503")
	c.say("RCPT TO:<late@example.net>", "503")
	for range 50 { // what RSET ended says nothing about what follows
		c.say("RSET", "250")
		c.envelope()
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(simple), simple))
		c.expect("250 2.0.0 queued")
		c.envelope()
		c.send("BDAT 1\r\nF")
		c.expect("250")
	}
	c.say("RSET", "250")
	c.message(simple, "250")
	c.envelope()
	c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", 4, ".\r\n."))
	c.expect("550 5.6.0")
}

func TestEightBitIsWhatIsThere(t *testing.T) {
	f := startTrusted(t)
	for _, test := range []struct {
		parameters, message string
		eight, utf8         bool
	}{
		{"", simple, false, false},
		{" BODY=8BITMIME SMTPUTF8", simple, false, true},
		{"", simple + "ä", true, false},
		{" BODY=7BIT", simple + "\xff", true, false},
		{"", "Subject: ä\r\n" + simple, true, false},
		{"", "Subject: \xe4\r\n" + simple, true, false},
		{"", "X-Postrider-Tag: ä\r\n" + simple, true, false},
	} {
		c := f.greeted(0)
		c.say("MAIL FROM:<sender@example.com>"+test.parameters, "250")
		c.say("RCPT TO:<a@example.net>", "250")
		c.say("DATA", "354")
		c.say(test.message+"\r\n.", "250")
		if e := f.store.last(t).Message.Envelope; e.EightBit != test.eight || e.SMTPUTF8 != test.utf8 {
			t.Errorf("%+v: %+v", test, e)
		}
	}
}

func TestReceivedKeyword(t *testing.T) {
	f := startTrusted(t)
	c := f.dial(0)
	c.expect("220")
	c.say("HELO bad/name", "250")
	c.message(simple, "250")
	if body := string(f.store.last(t).Body); !strings.HasPrefix(body, "Received: from unknown ([127.0.0.1])\r\n\tby mx.test with SMTP id ") {
		t.Errorf("%q", body)
	}
	c.say("EHLO [IPv6:2001:db8::1]", "250")
	c.say("MAIL FROM:<sender@example.com> SMTPUTF8", "250")
	c.say("RCPT TO:<a@example.net>", "250")
	c.say("DATA", "354")
	c.say(simple+"\r\n.", "250")
	if body := string(f.store.last(t).Body); !strings.HasPrefix(body, "Received: from [IPv6:2001:db8::1] ([127.0.0.1])\r\n\tby mx.test with UTF8SMTP id ") {
		t.Errorf("%q", body)
	}
	loop := strings.Repeat("Received: from a by b\r\n", 101)
	c.message(loop+simple, "554 5.4.6")
	c.message(strings.Repeat("X: y\r\n", 1001)+simple, "550 5.6.0")
}

func TestControlHeaders(t *testing.T) {
	o := options(trusted())
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return now }
	f := start(t, o)
	got := submitted(t, f, "X-Postrider-Stream: marketing\r\nx-postrider-campaign: =?utf-8?q?Fr=C3=BChling?= =?utf-8?q?_30?=\r\n"+
		"X-Postrider-Tag: a\r\nX-Postrider-Tag: b c\r\nX-Postrider-Metadata: {\"user\":\r\n  7, \"n\": \"=?utf-8?b?w6Q=?=\"}\r\n"+
		"X-Postrider-Track: clicks\r\nX-Postrider-Send-At: 2030-01-02T12:00:00+01:00\r\n"+simple)
	if strings.Contains(strings.ToLower(got), "x-postrider") {
		t.Errorf("left in: %q", got)
	}
	m := f.store.last(t).Message
	at := time.Date(2030, 1, 2, 11, 0, 0, 0, time.UTC)
	if m.Stream != "marketing" || m.Campaign != "Frühling 30" || !reflect.DeepEqual(m.Tags, []string{"a", "b c"}) ||
		m.Track != account.TrackClicks || !m.NotBefore.Equal(at) || !m.Accepted.Equal(now) || !m.Expires.Equal(at.Add(5*24*time.Hour)) {
		t.Errorf("%+v", m)
	}
	var metadata map[string]any
	if err := json.Unmarshal(m.Metadata, &metadata); err != nil || metadata["user"] != 7.0 || metadata["n"] != "ä" {
		t.Errorf("%s %v", m.Metadata, err)
	}
	for _, date := range []string{"Tue, 01 Jan 2030 13:00:00 +0000", fmt.Sprint(now.Add(time.Hour).Unix())} {
		submitted(t, f, "X-Postrider-Send-At: "+date+"\r\n"+simple)
		if at := f.store.last(t).Message.NotBefore; !at.Equal(now.Add(time.Hour)) {
			t.Errorf("%q: %v", date, at)
		}
	}
	submitted(t, f, "X-Postrider-Send-At: 2029-01-01T00:00:00Z\r\n"+simple)
	if m := f.store.last(t).Message; !m.NotBefore.IsZero() || m.Track != account.TrackNone || !m.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", m)
	}
}

func TestMalformedControlHeaders(t *testing.T) {
	f := startTrusted(t)
	for header, want := range map[string]string{
		"Stream: news": "names no stream of yours; there are marketing, transactional",
		"Stream: marketing\r\nX-Postrider-Stream: marketing": "more than once",
		"Campaign: " + strings.Repeat("x", 129):              "129 characters",
		"Campaign:":                                          "is empty",
		"Campaign: a\x01b":                                   "printable",
		"Campaign: \xff":                                     "printable",
		"Campaign: =?klingon?q?x?=":                          "character set",
		"Tag: " + strings.Repeat("x", 129):                   "129 characters",
		"Metadata: [1]":                                      "not an object",
		"Metadata: {x":                                       "is not JSON",
		"Metadata: {\"x\":\"" + strings.Repeat("x", 4096) + "\"}": "octets",
		"Metadata: {\"x\":\"\xff\"}":                              "not UTF-8",
		"Track: everything":                                       "none, opens, clicks or all",
		"Send-At: tomorrow":                                       "no date",
		"Send-At: 4102444800":                                     "30 days",
		"Sendat: 2030-01-01T00:00:00Z":                            "did you mean X-Postrider-Send-At?",
		"Camapign: x":                                             "did you mean X-Postrider-Campaign?",
		"Completely-Other: x":                                     "is not known",
	} {
		c := f.greeted(0)
		c.envelope()
		c.say("DATA", "354")
		c.send("X-Postrider-" + header + "\r\n" + simple + "\r\n.\r\n")
		if reply := c.reply(); !strings.HasPrefix(reply, "550 5.6.0 X-Postrider-") || !strings.Contains(reply, want) {
			t.Errorf("%.60q: %q", header, reply)
		}
	}
	c := f.greeted(0)
	c.message(numbered("X-Postrider-Tag: %d\r\n", 11)+simple, "550 5.6.0")
	c.message(numbered("X-Postrider-Tag: %d\r\n", 10)+simple, "250")
}

func TestParseMailboxes(t *testing.T) {
	for value, want := range map[string]string{
		"a@b.c":                               "a@b.c",
		"A B <a@b.c>, \"C, D\" <\"x y\"@b.c>": `a@b.c "x y"@b.c`,
		"(c) a@b.c (d (e) \\) f)":             "a@b.c",
		"a . b @ c . d":                       "a.b@c.d",
		"g: a@b.c, <d@e.f>;, h@i.j":           "a@b.c d@e.f h@i.j",
		"<@r1,@r2:a@b.c>":                     "!",
		", ,a@b.c,":                           "a@b.c",
		"Jörg <j@bücher.example>":             "j@xn--bcher-kva.example",
		"=?utf-8?q?J=C3=B6rg_=40_x?= <a@b.c>": "a@b.c",
		"\"x\\\" <y@z.q>\" <a@b.c>":           "a@b.c",
		"":                                    "",
		"a b@c.d":                             "!",
		"a@b.c d@e.f":                         "!",
		"<a@b.c> <d@e.f>":                     "!",
		"x@y.z <a@b.c>":                       "!",
		"<a@b.c":                              "!",
		"a@b.c>":                              "!",
		"(a@b.c":                              "!",
		"\"a@b.c":                             "!",
		"g: a@b.c":                            "!",
		"g: h: a@b.c;;":                       "!",
		"a@b.c;":                              "!",
		"a\\@b.c":                             "!",
		strings.Repeat("(", 40) + strings.Repeat(")", 40) + "a@b.c": "!",
	} {
		var got []string
		mailboxes, err := parseMailboxes(value)
		for _, m := range mailboxes {
			got = append(got, m.String())
		}
		if err != nil {
			got = []string{"!"}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q", value, s, want)
		}
	}
}
