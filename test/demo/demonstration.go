package main

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/test/harness"
)

const (
	// batch is how many readers one submission names.
	batch    = 100
	opens    = 40
	clicks   = 25
	campaign = "november"
)

// demonstration is the daemon in its world, and what is done to it.
type demonstration struct {
	*world
	daemon *harness.Daemon
}

func (d *demonstration) run(ctx context.Context) (*report, error) {
	letter, err := newsletter()
	if err != nil {
		return nil, err
	}
	r := &report{}
	all := readers()
	fmt.Printf("Postrider delivers a newsletter of %d bytes to %d readers:\n", len(letter), len(all))
	for _, dest := range destinations() {
		fmt.Printf("  %4d at %-20s %s\n", dest.readers, dest.domain, dest.habit)
	}

	start := time.Now()
	if err := d.submit(letter, all); err != nil {
		return nil, err
	}
	r.say("handed in over SMTP, on disk before each 250", time.Since(start))
	if err := d.daemon.Settled(ctx); err != nil {
		return nil, err
	}
	r.say("settled, the deferred ones too", time.Since(start))
	if err := d.receive(ctx, r); err != nil {
		return nil, err
	}
	if err := d.read(ctx, r); err != nil {
		return nil, err
	}
	if err := d.count(ctx, r, len(all)); err != nil {
		return nil, err
	}
	return r, d.overtake(ctx, letter, r)
}

// submit hands the letter in, logged in over SMTP, a batch of readers at a
// time over one connection.
func (d *demonstration) submit(letter []byte, all []string) error {
	host, _, err := net.SplitHostPort(d.submission)
	if err != nil {
		return err
	}
	c, err := smtp.Dial(d.submission)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", "newsletter", password, host)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	for len(all) > 0 {
		n := min(batch, len(all))
		if err := hand(c, letter, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return c.Quit()
}

func hand(c *smtp.Client, letter []byte, to []string) error {
	if err := c.Mail(sender); err != nil {
		return err
	}
	for _, address := range to {
		if err := c.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(letter); err != nil {
		return err
	}
	return w.Close()
}

// receive looks at what the mail exchangers got.
func (d *demonstration) receive(ctx context.Context, r *report) error {
	messages, err := readMailbox(d.mailbox)
	if err != nil {
		return err
	}
	r.messages = messages
	verifier := newVerifier(d.dns.Addr())
	for _, m := range messages {
		signatures, err := verifier.verify(ctx, m.content)
		if err != nil {
			return fmt.Errorf("message %d: %w", m.number, err)
		}
		r.dkimPass++
		r.signatures += signatures
	}
	fmt.Printf("%d messages received; DKIM signatures verified against DNS: %d (RSA and Ed25519)\n", len(messages), r.signatures)
	return nil
}

// read does what readers do: look, click, and unsubscribe.
func (d *demonstration) read(ctx context.Context, r *report) error {
	browser := harness.Browser()
	for i, m := range r.messages[:opens] {
		page, err := m.html()
		if err != nil {
			return err
		}
		if err := page.fetchPixel(ctx, browser); err != nil {
			return err
		}
		if i >= clicks {
			continue
		}
		if err := page.click(ctx, browser, i); err != nil {
			return err
		}
	}
	r.leaver = r.messages[0].recipient
	if err := r.messages[0].unsubscribe(ctx, browser); err != nil {
		return err
	}
	fmt.Printf("%d pixels fetched, %d links followed to their targets, 1 reader unsubscribed with one click\n", opens, clicks)
	return nil
}

// count reads the events until what the readers did has been recorded.
func (d *demonstration) count(ctx context.Context, r *report, accepted int) error {
	client := d.daemon.Client()
	defer client.Close()
	for {
		r.tally = newTally()
		err := client.Events(ctx, 0, false, func(record api.Record) error {
			r.tally.add(record.Event)
			return nil
		})
		if err != nil {
			return err
		}
		if r.tally.count[event.Accepted] >= accepted && r.tally.count[event.Opened] >= opens &&
			r.tally.count[event.Clicked] >= clicks && r.tally.count[event.Unsubscribed] >= 1 && r.tally.unsettled() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("events are missing: %s: %w", r.line(), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// overtake shows that a reader who has left gets no more, even what is sent
// by an application that does not know yet.
func (d *demonstration) overtake(ctx context.Context, letter []byte, r *report) error {
	next := strings.Replace(string(letter), "X-Postrider-Campaign: "+campaign, "X-Postrider-Campaign: december", 1)
	if err := d.submit([]byte(next), []string{r.leaver}); err != nil {
		return err
	}
	if err := d.daemon.Settled(ctx); err != nil {
		return err
	}
	out, err := d.daemon.Run(ctx, "events", "tail", "--from-start", "--type", "dropped", "--count", "1")
	if err != nil {
		return err
	}
	fmt.Printf("the next issue to the reader who left: %s\n", strings.TrimSpace(out))
	return nil
}
