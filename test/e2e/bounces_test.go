package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// mailtoLink is the address in the header of page by which one unsubscribes.
var mailtoLink = regexp.MustCompile(`(?s)List-Unsubscribe:.*?<mailto:([^?>]+)`)

// bounceServer makes the daemon listen for what comes back to a domain.
func (w *world) bounceServer(domain string) (address, configuration string) {
	w.Helper()
	free, err := harness.FreeAddressesAt(w.host(), 1)
	if err != nil {
		w.Fatal(err)
	}
	return free[0], fmt.Sprintf("[bounces]\ndomain = %q\nlisten = %q\n", domain, free[0])
}

// returned sends a message to the bounce server, from the null sender.
func (w *world) returned(server, to, message string) error {
	w.Helper()
	c, err := dial("tcp", server)
	if err != nil {
		w.Fatal(err)
	}
	defer c.conn.Close()
	_, err = c.send("", []string{to}, []byte(message))
	if errors.Is(err, errID) {
		return nil // it names no message: nothing was queued
	}
	return err
}

// failed is the report of a server that took the message and could not deliver
// it. Its text names somebody else: only the return path may be believed.
func failed(status, diagnostic string) string {
	return "From: MAILER-DAEMON@mx.reader.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n\r\nIt failed.\r\n" +
		"--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.reader.example\r\n\r\n" +
		"Final-Recipient: rfc822; somebody.else@reader.example\r\nAction: failed\r\nStatus: " + status +
		"\r\nDiagnostic-Code: smtp; " + diagnostic + "\r\n--x--\r\n"
}

// complaint gives back a whole message, as providers do.
func complaint(message []byte) string {
	return "From: fbl@provider.example\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\n\r\nA complaint.\r\n" +
		"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: test/1\r\nVersion: 1\r\n" +
		"--x\r\nContent-Type: message/rfc822\r\n\r\n" + string(message) + "\r\n--x--\r\n"
}

const outOfOffice = "From: reader@reader.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\n" +
	"I am away. Mailbox full, user unknown, 550 5.1.1.\r\n"

// byReader sorts a mail exchanger's messages by their only recipient.
func byReader(t testing.TB, mx *testmx.Server) map[string]*testmx.Message {
	t.Helper()
	found := map[string]*testmx.Message{}
	for _, m := range mx.Messages() {
		if len(m.Recipients) != 1 || !strings.HasPrefix(m.From, "b-") || !strings.HasSuffix(m.From, "@bounce.sender.example") {
			t.Fatalf("MAIL FROM:<%s> for %d recipients", m.From, len(m.Recipients))
		}
		local, _, _ := strings.Cut(m.Recipients[0].Address, "@")
		found[local] = m
	}
	return found
}

func (w *world) count(id string, index int, kind event.Type) (n int) {
	w.Helper()
	for _, e := range w.history(id) {
		if e.Index == index && e.Type == kind {
			n++
		}
	}
	return n
}

func (w *world) mustSuppress(reader, reason string) {
	w.Helper()
	w.await(reader+" is suppressed: "+reason, func() bool {
		out, _ := w.daemon.Run(w.ctx, "suppress", "check", "--json", "--stream", "marketing", reader+"@reader.example")
		return strings.Contains(out, `"`+reason+`"`)
	})
}

// TestWhatComesBackIsHeard: a bounce by mail, a complaint and a wish to leave
// each find their recipient and end mail to it, once, and a kill loses nothing
// that was acknowledged.
func TestWhatComesBackIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	server, bounces := w.bounceServer("bounce.sender.example")
	w.start(settings{rest: bounces + w.signs("sender.example")})
	id := w.hand(page("X-Postrider-Stream: marketing", "X-Postrider-Campaign: spring"),
		"gone@reader.example", "angry@reader.example", "bored@reader.example", "away@reader.example")
	w.settled()
	w.await("the events of all four are kept", func() bool { return len(w.history(id)) == 8 })
	messages := byReader(t, mx)
	if good, bad, err := w.signatures("sender.example", messages["angry"].Data); good != 2 || bad != 0 {
		t.Errorf("%d good signatures, %d bad: %v", good, bad, err)
	}
	w.checkFeedbackFields(messages["angry"].Data)

	bounce, report := failed("5.1.1", "550 5.1.1 user unknown"), complaint(messages["angry"].Data)
	leave := find(t, mailtoLink, messages["bored"].Data)
	send := func() {
		for to, message := range map[string]string{
			messages["gone"].From: bounce, "complaints@bounce.sender.example": report, leave: letter(), messages["away"].From: outOfOffice,
		} {
			if err := w.returned(server, to, message); err != nil {
				t.Errorf("to %.2s: %v", to, err)
			}
		}
	}
	send()
	w.daemon.Kill() // what was acknowledged is on disk
	w.restart()
	w.mustSuppress("gone", "hard_bounce")
	w.mustSuppress("angry", "complaint")
	w.mustSuppress("bored", "unsubscribed")
	send()
	w.returnedOnce(id)
	if out := w.run("suppress", "check", "--json", "--stream", "marketing", "away@reader.example"); strings.Contains(out, "_bounce") || !strings.Contains(out, `"suppressed": false`) {
		t.Errorf("an automatic reply suppressed: %s", out)
	}
	w.refusesStrangers(server, messages["gone"].From)
}

// checkFeedbackFields looks for the fields of RFC 9477, that they are signed,
// and for Feedback-ID.
func (w *world) checkFeedbackFields(message []byte) {
	w.Helper()
	if !bytes.Contains(message, []byte("Feedback-ID: spring:marketing:default:postrider\r\n")) {
		w.Errorf("no Feedback-ID in\n%s", message)
	}
	signed := strings.ToLower(strings.NewReplacer("\r\n ", "", "\r\n\t", "", " ", "").Replace(string(message)))
	for _, field := range []string{"cfbl-address", "cfbl-feedback-id", "feedback-id"} {
		if !strings.Contains(signed, ":"+field) || !strings.Contains(signed, "\r\n"+field+":") {
			w.Errorf("%s is not there or not signed", field)
		}
	}
}

// returnedOnce waits until each report has its event, whole, and then looks for
// more of them.
func (w *world) returnedOnce(id string) {
	w.Helper()
	w.await("repeated reports are passed over", func() bool {
		_, metrics := w.ask("GET", "http://"+w.health+"/metrics", "", "")
		return strings.Contains(metrics, "postrider_events_repeated_total 3\n")
	})
	wanted := map[int]event.Type{0: event.Bounced, 1: event.Complained, 2: event.Unsubscribed}
	for index, kind := range wanted {
		if n := w.count(id, index, kind); n != 1 {
			w.Errorf("%d events of type %s", n, kind)
		}
	}
	for _, e := range w.history(id) {
		if e.Type != wanted[e.Index] {
			continue
		}
		if e.Campaign != "spring" || e.Stream != "marketing" || !strings.HasSuffix(e.Recipient, "@reader.example") || strings.HasPrefix(e.Recipient, "somebody") {
			w.Errorf("%+v", e)
		}
		if e.Type == event.Bounced && (e.Reply.Text != "user unknown" || e.Category != "invalid_recipient" || e.Reply.Enhanced.String() != "5.1.1" || e.Reason != "delivery status notification") {
			w.Errorf("%+v", e)
		}
	}
}

// refusesStrangers: nobody is served whose address is not ours to the letter.
func (w *world) refusesStrangers(server, known string) {
	w.Helper()
	for to, code := range map[string]int{
		"reader@reader.example": 550, "nobody@bounce.sender.example": 550, "postmaster@bounce.sender.example": 550,
		known[:10] + "x" + known[11:]: 550, strings.Replace(known, "@bounce.", "@", 1): 550,
		strings.Replace(known, "b-", "u-", 1): 550,
	} {
		c, err := dial("tcp", server)
		if err != nil {
			w.Fatal(err)
		}
		_, mailErr := c.say(250, "MAIL FROM:<x@y.example>")
		_, err = c.say(250, "RCPT TO:<"+to+">")
		c.conn.Close()
		if mailErr != nil || replyCode(err) != code {
			w.Errorf("%.10s: %v, %v", to, mailErr, err)
		}
	}
}
