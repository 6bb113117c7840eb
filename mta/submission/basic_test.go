package submission

import (
	"strings"
	"testing"
)

func TestAcceptsAMessage(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	reply := c.message(simple, "250 2.0.0 queued as ")
	got := f.store.last(t)
	if id := strings.TrimPrefix(reply, "250 2.0.0 queued as "); id != got.Message.ID.String() {
		t.Errorf("reply names %q, queued was %q", id, got.Message.ID)
	}
	body := string(got.Body)
	for _, want := range []string{
		"Received: from client.example ([127.0.0.1])\r\n\tby mx.test with ESMTP id " + got.Message.ID.String() + ";\r\n\t",
		"\r\nDate: ", "\r\nMessage-ID: <" + got.Message.ID.String() + "@mx.test>\r\n",
		"\r\nFrom: Sender <sender@example.com>\r\nSubject: hi\r\n\r\nHello.\r\n",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %q", want, body)
		}
	}
	if !strings.HasPrefix(body, "Received: ") || got.Message.Size != int64(len(body)) {
		t.Errorf("size %d of %q", got.Message.Size, body)
	}
	if strings.Contains(body, "example.net") {
		t.Error("the recipient is named in the body")
	}
	m := got.Message
	if m.Tenant != "acme" || m.Stream != "transactional" || m.HeaderFrom != "example.com" ||
		m.Envelope.From.String() != "sender@example.com" || m.Envelope.EightBit || m.Envelope.SMTPUTF8 {
		t.Errorf("message %+v", m)
	}
	if len(got.Recipients) != 1 || got.Recipients[0].Address.String() != "rcpt@example.net" {
		t.Errorf("recipients %+v", got.Recipients)
	}
	c.say("QUIT", "221")
	c.closed()
}
