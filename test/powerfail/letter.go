package powerfail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// queuedAs stands before the id in the reply to a message.
const queuedAs = "queued as "

const (
	sender       = "news@sender.example"
	senderDomain = "sender.example"
	// letterLink is the link in every letter.
	letterLink = "https://www.sender.example/new"
)

// letter is a message for the daemon.
type letter struct {
	stream, campaign string
	to               []string
	// later: it is not to be sent before tomorrow.
	later bool
	// brief: it expires in a second.
	brief bool
	// notes are how many lines of metadata come with it.
	notes int
	// filler is about how long the text is, in octets.
	filler int
}

// controls are the header fields that the daemon takes out.
func (l *letter) controls() string {
	var b strings.Builder
	field := func(name, value string) { fmt.Fprintf(&b, "X-Postrider-%s: %s\r\n", name, value) }
	field("Stream", l.stream)
	if l.campaign != "" {
		field("Campaign", l.campaign)
	}
	if l.later {
		field("Send-At", time.Now().Add(24*time.Hour).Format(time.RFC3339))
	}
	if l.brief {
		field("Expires", "1s")
	}
	if l.notes > 0 {
		field("Metadata", "{"+strings.Repeat("\r\n \"note\":\""+strings.Repeat("paid ", 11)+"\",", l.notes)+"\r\n \"last\":1}")
	}
	return b.String()
}

// content is all that follows.
func (l *letter) content(number int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%d\r\n", mark, number)
	b.WriteString("From: The News <" + sender + ">\r\nTo: a reader\r\nSubject: News\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n")
	fmt.Fprintf(&b, "Message-ID: <%d@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n", number)
	b.WriteString("<html><body><p>See <a href=\"" + letterLink + "\">what is new</a>.</p>\r\n")
	for n := 0; b.Len() < l.filler; n++ {
		fmt.Fprintf(&b, "<p>%d: %016x</p>\r\n", n, uint64(number+1)*uint64(n+1)*0x9e3779b97f4a7c15)
	}
	b.WriteString("</body></html>\r\n")
	return b.String()
}

// message is what is known of it before it is accepted.
func (l *letter) message() *queue.Message {
	m := &queue.Message{Tenant: tenant, Stream: l.stream, Campaign: l.campaign, HeaderFrom: senderDomain}
	m.Envelope.From, _ = mail.ParseAddress(sender) // a constant
	if l.later {
		m.NotBefore = time.Now().Add(24 * time.Hour).UTC()
	}
	if l.brief {
		m.Expires = time.Now().Add(time.Second).UTC()
	}
	return m
}

// tenant is the one of the configuration.
const tenant = "default"

// randomLetter makes one of many small and few large letters, to recipients of
// all kinds.
func randomLetter(r *rand.Rand, name string) *letter {
	l := &letter{stream: "transactional", filler: 500 + r.IntN(4000), later: r.IntN(20) == 0}
	if r.IntN(3) > 0 {
		l.stream = "marketing"
	}
	if r.IntN(6) == 0 {
		l.filler = 20_000 + r.IntN(80_000)
	}
	for i := range 1 + r.IntN(3) {
		domain := openDomain
		switch n := r.IntN(100); {
		case n < 15:
			domain = laterDomain
		case n < 25:
			domain = busyDomain
		case n < 33:
			domain = refuseDomain
		case n < 37:
			domain, l.brief = neverDomain, !l.later
		case n < 45:
			domain = parkedDomain
		}
		l.to = append(l.to, fmt.Sprintf("r%s.%d@%s", name, i, domain))
	}
	return l
}

// application is a connection that hands in mail.
type application struct {
	world *world
	conn  net.Conn
	lines *bufio.Reader
}

func (w *world) connect(ctx context.Context, address string) (*application, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	a := &application{world: w, conn: conn, lines: bufio.NewReader(conn)}
	err = conn.SetDeadline(time.Now().Add(2 * patience))
	if err == nil {
		_, err = a.reply("220")
	}
	if err == nil {
		_, err = a.say("EHLO application.example\r\n", "250")
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return a, nil
}

// hand hands in a letter and waits until it is accepted.
func (a *application) hand(l *letter) (number int, err error) {
	w := word{Kind: wordAccept, Message: l.message()}
	for _, to := range l.to {
		address, err := mail.ParseAddress(to)
		if err != nil {
			return 0, err
		}
		w.Recipients = append(w.Recipients, mail.Recipient{Address: address})
	}
	number = a.world.ask(ask{word: w})
	content := l.content(number)
	envelope := "MAIL FROM:<" + sender + ">\r\nRCPT TO:<" + strings.Join(l.to, ">\r\nRCPT TO:<") + ">\r\n"
	codes := make([]string, 1+len(l.to))
	for i := range codes {
		codes[i] = "250"
	}
	if _, err := a.say(envelope+"DATA\r\n", append(codes, "354")...); err != nil {
		return 0, err
	}
	text, err := a.say(l.controls()+content+".\r\n", "250")
	if err != nil {
		return 0, err
	}
	_, id, _ := strings.Cut(text, queuedAs)
	known, err := queue.ParseID(strings.TrimSpace(id))
	a.world.amend(number, func(w *word) { w.Message.ID, w.Content = known, []byte(content) })
	return number, err
}

// say says something and expects replies; it returns the last.
func (a *application) say(text string, codes ...string) (last string, err error) {
	if _, err := a.conn.Write([]byte(text)); err != nil {
		return "", err
	}
	for _, code := range codes {
		if last, err = a.reply(code); err != nil {
			return "", err
		}
	}
	return last, nil
}

func (a *application) reply(code string) (string, error) {
	for {
		line, err := a.lines.ReadString('\n')
		switch {
		case err != nil:
			return "", err
		case !strings.HasPrefix(line, code):
			return "", fmt.Errorf("the daemon answers %q instead of %s", line, code)
		case len(line) <= 3 || line[3] != '-':
			return line, nil
		}
	}
}
