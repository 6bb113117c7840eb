package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// credential makes a password hash and returns the lines of its credential.
func (w *world) credential(user, password, domain string) string {
	w.Helper()
	hash, err := harness.RunInput(w.ctx, password+"\n", suite.binary, "password")
	if err != nil {
		w.Fatal(err)
	}
	file := filepath.Join(w.dir, user+".hash")
	if err := os.WriteFile(file, []byte(hash), 0o600); err != nil {
		w.Fatal(err)
	}
	return fmt.Sprintf("[[credential]]\nusername = %q\npassword_hash_file = %q\nfrom_domains = [%q]\n", user, file, domain)
}

const secureListener = "[[listener]]\nname = %q\naddress = %q\ntls = %q\ncertificate = %q\nkey = %q\n"

func TestApplicationsHandInMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	addresses, err := harness.FreeAddressesAt(w.host(), 2)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(w.dir, "submit.sock")
	w.start(settings{
		listener: fmt.Sprintf(secureListener, "submission", addresses[0], "starttls", suite.certificateFile, suite.keyFile) +
			fmt.Sprintf(secureListener, "submissions", addresses[1], "implicit", suite.certificateFile, suite.keyFile) +
			fmt.Sprintf("[[listener]]\nname = \"local\"\naddress = \"unix:%s\"\nany_from = true\n", socket),
		rest: w.credential("shop", "a stove and a lamp", "sender.example"),
	})
	config := &tls.Config{RootCAs: suite.authority, ServerName: "mail.sender.example"}

	ways := map[string]func() (*client, error){
		"starttls": func() (*client, error) {
			c, err := dial("tcp", addresses[0])
			if err != nil {
				return nil, err
			}
			if err := c.startTLS(config); err != nil {
				return nil, err
			}
			return c, c.login("shop", "a stove and a lamp")
		},
		"implicit": func() (*client, error) {
			conn, err := tls.Dial("tcp", addresses[1], config)
			if err != nil {
				return nil, err
			}
			c, err := greet(conn)
			if err != nil {
				return nil, err
			}
			return c, c.login("shop", "a stove and a lamp")
		},
		"unix socket": func() (*client, error) { return dial("unix", socket) },
	}
	for name, connect := range ways {
		c, err := connect()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		id, err := c.send(sender, []string{"reader@reader.example"}, []byte(letter()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.awaitEvent(id, event.Delivered)
		w.refuseWhatIsWrong(c, name)
		c.conn.Close()
	}
	w.refuseStrangers(addresses[0], config)
	if n := len(mx.Messages()); n != len(ways) {
		t.Errorf("%d messages arrived instead of %d", n, len(ways))
	}
	for _, m := range mx.Messages() {
		if strings.Contains(string(m.Data), "X-Postrider") {
			t.Errorf("a control header got through:\n%s", m.Data)
		}
	}
}

// refuseWhatIsWrong tries what no listener takes.
func (w *world) refuseWhatIsWrong(c *client, name string) {
	w.Helper()
	reader := []string{"reader@reader.example"}
	_, err := c.send(sender, reader, []byte(letter("X-Postrider-Steam: marketing")))
	mustRefuse(w, name+": a slip in a control header", err, 550, "Steam")
	_, err = c.send(sender, reader, []byte(letter("X-Postrider-Metadata: {not json")))
	mustRefuse(w, name+": metadata that is no JSON", err, 550, "Metadata")
	_, err = c.send(sender, reader, []byte(letter("X-Postrider-Stream: nonsense")))
	mustRefuse(w, name+": a stream that is not", err, 550, "Stream")
	if name != "unix socket" {
		_, err = c.send(sender, reader, []byte("From: boss@bank.example\r\nSubject: x\r\n\r\nx\r\n"))
		mustRefuse(w, name+": somebody else's From", err, 550, "bank.example")
		_, err = c.say(250, "MAIL FROM:<boss@bank.example>")
		mustRefuse(w, name+": somebody else's envelope", err, 550, "")
	}
	answer, err := c.say(250, "EHLO again.example")
	if err != nil || strings.Contains(answer, "XCLIENT") {
		w.Errorf("%s: EHLO: %q, %v", name, answer, err)
	}
	_, err = c.say(220, "XCLIENT ADDR=192.0.2.1")
	mustRefuse(w, name+": XCLIENT", err, 500, "")
}

// refuseStrangers tries the door of applications without their key.
func (w *world) refuseStrangers(address string, config *tls.Config) {
	w.Helper()
	c, err := dial("tcp", address)
	if err != nil {
		w.Fatal(err)
	}
	defer c.conn.Close()
	if err := c.startTLS(config); err != nil {
		w.Fatal(err)
	}
	_, err = c.say(250, "MAIL FROM:<"+sender+">")
	mustRefuse(w, "no password", err, 530, "")
	mustRefuse(w, "a wrong password", c.login("shop", "a lamp and a stove"), 535, "")
	mustRefuse(w, "an unknown user", c.login("shopper", "a stove and a lamp"), 535, "")
	if err := c.login("shop", "a stove and a lamp"); err != nil {
		w.Errorf("the right password after wrong ones: %v", err)
	}
}

func TestReplyNamesTheMessageForTheQueueCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := testmx.Rule{Command: testmx.RCPT, Action: testmx.Action{Reply: "450 4.2.1 come back later"}}
	w.domain("later.example", testmx.Options{Rules: []testmx.Rule{later}})
	w.start(settings{queue: "retry_first = \"1h\"\n"})
	id := w.hand(letter("X-Postrider-Campaign: november"), "one@later.example", "two@later.example")
	w.awaitEvent(id, event.Deferred)
	w.await("both have met the reply", func() bool {
		return strings.Count(w.run("queue", "show", id), "come back later") == 2
	})
	shown := w.run("queue", "show", id)
	for _, want := range []string{id + "/0", id + "/1", "one@later.example", "two@later.example", "450 4.2.1 come back later"} {
		if !strings.Contains(shown, want) {
			t.Errorf("queue show does not tell %q:\n%s", want, shown)
		}
	}
	w.manageQueue(id)
}

// manageQueue lists, retries and cancels the two recipients.
func (w *world) manageQueue(id string) {
	w.Helper()
	if list := w.run("queue", "list"); !strings.Contains(list, "later.example") || !strings.Contains(list, "2 recipients of 1 message") {
		w.Errorf("queue list:\n%s", list)
	}
	if why := w.fails("queue", "cancel"); !strings.Contains(why, "nothing is selected") {
		w.Errorf("cancel without a choice: %s", why)
	}
	if out := w.run("queue", "retry", "--domain", "later.example"); !strings.Contains(out, "2 recipients due now") {
		w.Errorf("retry: %s", out)
	}
	w.await("both were tried again", func() bool {
		attempts := 0
		for _, e := range w.history(id) {
			if e.Type == event.Deferred {
				attempts++
			}
		}
		return attempts >= 4
	})
	if sites := w.run("sites"); !strings.Contains(sites, "later.example") {
		w.Errorf("sites:\n%s", sites)
	}
	if out := w.run("queue", "cancel", "--recipient", "one@later.example", "--reason", "wrong price"); !strings.Contains(out, "1 recipient cancelled") {
		w.Errorf("cancel: %s", out)
	}
	if e := w.awaitEvent(id, event.Dropped); e.Reason != "wrong price" || e.Recipient != "one@later.example" {
		w.Errorf("dropped: %+v", e)
	}
	w.run("queue", "cancel", "--campaign", "november")
	if why := w.fails("queue", "show", id); !strings.Contains(why, "not in the queue") {
		w.Errorf("a settled message: %s", why)
	}
}
