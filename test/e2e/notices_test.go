package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// submit hands in a message with parameters of RFC 3461: those of MAIL behind the
// sender, those of RCPT behind each recipient.
func (w *world) submit(message, from string, to ...string) string {
	w.Helper()
	c := w.connect()
	defer c.conn.Close()
	commands := []string{"MAIL FROM:" + from}
	for _, recipient := range to {
		commands = append(commands, "RCPT TO:"+recipient)
	}
	for _, command := range commands {
		if _, err := c.say(250, command); err != nil {
			w.Fatal(command, err)
		}
	}
	if _, err := c.say(354, "DATA"); err != nil {
		w.Fatal(err)
	}
	if _, err := c.conn.Write(stuff([]byte(message))); err != nil {
		w.Fatal(err)
	}
	_, text, err := c.text.ReadResponse(250)
	id := queuedAs.FindStringSubmatch(text)
	if err != nil || id == nil {
		w.Fatal(text, err)
	}
	return id[1]
}

// postbox keeps what an exchanger took.
type postbox struct {
	mu       sync.Mutex
	messages []testmx.Message
}

func (p *postbox) add(m *testmx.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := *m
	kept.Data = bytes.Clone(m.Data)
	p.messages = append(p.messages, kept)
	return nil
}

func (p *postbox) all() []testmx.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]testmx.Message(nil), p.messages...)
}

// about returns the reports that hold a text.
func (p *postbox) about(text string) (found []testmx.Message) {
	for _, m := range p.all() {
		if bytes.Contains(m.Data, []byte(text)) {
			found = append(found, m)
		}
	}
	return found
}

func refusing(reply string) testmx.Options {
	return testmx.Options{Rules: []testmx.Rule{{Command: testmx.RCPT, Action: testmx.Action{Reply: reply}}}}
}

// TestSendersAreTold follows reports over the wire to the sender's own mail
// exchanger: who asked gets one, signed, and nobody else.
func TestSendersAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := &postbox{}
	w.domain("sender.example", testmx.Options{OnMessage: box.add})
	w.domain("refusing.example", refusing("550 5.1.1 no such user here"))
	w.domain("deaf.example", testmx.Options{Without: testmx.Extensions{DSN: true}})
	reader := w.domain("reader.example", testmx.Options{Keep: true})
	later := testmx.Rule{Command: testmx.RCPT, Times: 8, Action: testmx.Action{Reply: "451 4.3.2 come back later"}}
	w.domain("slow.example", testmx.Options{Rules: []testmx.Rule{later}})
	w.start(settings{rest: "[dsn]\ndelay_after = \"1s\"\n" + w.signs("mail.sender.example")})

	marked := func(mark string) string { return letter("Message-ID: <" + mark + "@sender.example>") }
	asked := w.submit(marked("asked"), "<"+sender+"> RET=HDRS ENVID=order+2B7",
		"<one@refusing.example> NOTIFY=FAILURE ORCPT=rfc822;First+2BOne@refusing.example", "<two@refusing.example> NOTIFY=FAILURE")
	quiet := []string{
		w.submit(marked("never"), "<"+sender+">", "<never@refusing.example> NOTIFY=NEVER"),
		w.submit(marked("unasked"), "<"+sender+">", "<unasked@refusing.example>"),
		w.submit(marked("null"), "<>", "<null@refusing.example> NOTIFY=FAILURE"),
		w.submit(letter("Message-ID: <marketing@sender.example>", "X-Postrider-Stream: marketing"), "<"+sender+">", "<marketing@refusing.example> NOTIFY=FAILURE"),
		w.submit(letter("Message-ID: <machine@sender.example>", "Auto-Submitted: auto-replied"), "<"+sender+">", "<machine@refusing.example> NOTIFY=FAILURE"),
		// The next server confirms, not we.
		w.submit(marked("handed-on"), "<"+sender+"> ENVID=x", "<one@reader.example> NOTIFY=SUCCESS,FAILURE"),
	}
	w.submit(marked("relayed"), "<"+sender+">", "<one@deaf.example> NOTIFY=SUCCESS")
	w.submit(marked("delayed"), "<"+sender+">", "<one@slow.example> NOTIFY=DELAY")
	// Its report finds no home, and that is the end of it.
	lost := w.submit(marked("lost"), "<nobody@refusing.example>", "<lost@refusing.example> NOTIFY=FAILURE")

	w.awaitEvent(asked, event.Bounced)
	for _, id := range quiet {
		w.await("message "+id+" has ended", func() bool {
			return slices.ContainsFunc(w.history(id), func(e event.Event) bool { return final(e.Type) })
		})
	}
	w.awaitEvent(lost, event.Bounced)
	w.settled()
	if got := len(box.about("<delayed@")); got != 1 {
		t.Errorf("%d reports of a delay, want one however often it was tried", got)
	}
	if got := len(box.all()); got > 4 || len(box.about("<asked@")) == 0 || len(box.about("<relayed@")) != 1 {
		t.Errorf("%d reports, %d of them about the refusals and %d about what was relayed", got, len(box.about("<asked@")), len(box.about("<relayed@")))
	}
	w.checkReports(box.about("<asked@"))
	if notify, _ := reader.Messages()[0].Recipients[0].Parameter("NOTIFY"); notify != "SUCCESS,FAILURE" {
		t.Errorf("the next server was asked for %q", notify)
	}
	_, metrics := w.ask(http.MethodGet, "http://"+w.health+"/metrics", "", "")
	for _, line := range []string{
		`postrider_dsn_written_total{action="failed"} 3`, `postrider_dsn_written_total{action="relayed"} 1`, `postrider_dsn_written_total{action="delayed"} 1`,
		`postrider_dsn_skipped_total{reason="own"} 1`, `postrider_dsn_skipped_total{reason="automatic"} 1`, `postrider_dsn_skipped_total{reason="null_sender"} 1`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	if !strings.Contains(w.log(), "delivery report could not be delivered") {
		t.Error("the log does not tell of the report that was lost")
	}
}

// checkReports reads reports about the two refused recipients.
func (w *world) checkReports(reports []testmx.Message) {
	w.Helper()
	seen := map[string]bool{}
	for _, m := range reports {
		if m.From != "" || len(m.Recipients) != 1 || m.Recipients[0].Address != sender {
			w.Errorf("from %q to %+v", m.From, m.Recipients)
		}
		if notify, _ := m.Recipients[0].Parameter("NOTIFY"); notify != "NEVER" {
			w.Errorf("NOTIFY=%s", notify)
		}
		if good, bad, err := w.signatures("mail.sender.example", m.Data); good != 2 || bad != 0 {
			w.Errorf("%d good and %d bad signatures: %v", good, bad, err)
		}
		for _, text := range []string{
			"From: Mail Delivery System <MAILER-DAEMON@mail.sender.example>\r\n", "To: <" + sender + ">\r\n", "Auto-Submitted: auto-replied\r\n",
			"In-Reply-To: <asked@sender.example>\r\n", "Content-Type: text/rfc822-headers\r\n",
		} {
			if !bytes.Contains(m.Data, []byte(text)) {
				w.Errorf("the report lacks %q:\n%s", text, m.Data)
			}
		}
		if bytes.Contains(m.Data, []byte("What is new.")) {
			w.Error("RET=HDRS returned the content")
		}
		r, err := report.New(bounce.New()).Parse(m.Data)
		if err != nil || r.Kind != report.DSN || r.EnvelopeID != "order+7" || r.ReportingMTA != "dns; mail.sender.example" {
			w.Errorf("%+v, %v", r, err)
		}
		for _, one := range r.Recipients {
			seen[one.Address] = true
			original := map[string]string{"one@refusing.example": "rfc822; First+One@refusing.example"}[one.Address]
			if one.Action != bounce.Failed || one.Status != "5.1.1" || one.Diagnostic != "smtp; 550 5.1.1 no such user here" ||
				one.RemoteMTA != "dns; mx.refusing.example" || one.OriginalRecipient != original {
				w.Errorf("%+v", one)
			}
		}
	}
	if len(seen) != 2 {
		w.Errorf("reports name %v, want both", seen)
	}
}

// TestNoReportIsLostByKills kills the daemon while refusals come in: each ends
// with its sender told, though perhaps twice.
func TestNoReportIsLostByKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := &postbox{}
	w.domain("sender.example", testmx.Options{OnMessage: box.add})
	w.domain("refusing.example", refusing("550 5.7.1 not from you"))
	w.start(settings{queue: quick, rest: "[dsn]\nper_hour = 1000\n"})
	const rounds, each = 4, 25
	for round := range rounds {
		for n := range each {
			w.submit(letter(fmt.Sprintf("Message-ID: <m%d-%d@sender.example>", round, n)), "<"+sender+">", "<one@refusing.example> NOTIFY=FAILURE")
		}
		enough := len(box.all()) + round
		w.await("some reports have come", func() bool { return len(box.all()) > enough })
		w.daemon.Kill()
		w.restart()
	}
	w.settled()
	for round := range rounds {
		for n := range each {
			id := fmt.Sprintf("<m%d-%d@sender.example>", round, n)
			if len(box.about(id)) == 0 {
				t.Errorf("no report about %s", id)
			}
		}
	}
}
