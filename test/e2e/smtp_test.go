package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"
)

// client is an application that hands in mail, line by line.
type client struct {
	conn net.Conn
	text *textproto.Conn
}

// dial connects and greets.
func dial(network, address string) (*client, error) {
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	return greet(conn)
}

func greet(conn net.Conn) (*client, error) {
	c := &client{conn: conn, text: textproto.NewConn(conn)}
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, err
	}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		conn.Close()
		return nil, err
	}
	if _, err := c.say(250, "EHLO application.example"); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// say sends a line and expects a code.
func (c *client) say(code int, line string) (string, error) {
	if err := c.text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, text, err := c.text.ReadResponse(code)
	return text, err
}

func (c *client) startTLS(config *tls.Config) error {
	if _, err := c.say(220, "STARTTLS"); err != nil {
		return err
	}
	secure := tls.Client(c.conn, config)
	if err := secure.Handshake(); err != nil {
		return err
	}
	c.conn, c.text = secure, textproto.NewConn(secure)
	_, err := c.say(250, "EHLO application.example")
	return err
}

func (c *client) login(user, password string) error {
	_, err := c.say(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	return err
}

var queuedAs = regexp.MustCompile(`^2\.0\.0 queued as ([0-9a-z]+)$`)

// errID: the reply names no message.
var errID = errors.New("reply without an id")

// send hands in a message, its envelope and DATA in one flight, and returns
// the id that the reply names.
func (c *client) send(from string, to []string, message []byte) (string, error) {
	var flight strings.Builder
	parameters := ""
	if !ascii(message) {
		parameters = " BODY=8BITMIME"
	}
	fmt.Fprintf(&flight, "MAIL FROM:<%s>%s\r\n", from, parameters)
	for _, address := range to {
		fmt.Fprintf(&flight, "RCPT TO:<%s>\r\n", address)
	}
	flight.WriteString("DATA\r\n")
	if _, err := c.conn.Write([]byte(flight.String())); err != nil {
		return "", err
	}
	var refused error
	for range 1 + len(to) {
		if _, _, err := c.text.ReadResponse(250); err != nil && refused == nil {
			refused = err
		}
	}
	if _, _, err := c.text.ReadResponse(354); err != nil {
		return "", errors.Join(refused, err)
	}
	if _, err := c.conn.Write(stuff(message)); err != nil {
		return "", err
	}
	_, text, err := c.text.ReadResponse(250)
	if err != nil {
		return "", err
	}
	if refused != nil {
		return "", refused
	}
	id := queuedAs.FindStringSubmatch(text)
	if id == nil {
		return "", fmt.Errorf("%w: %q", errID, text)
	}
	return id[1], nil
}

// stuff makes content of a message: CRLF at the line ends, dots doubled, and
// the end.
func stuff(message []byte) []byte {
	message = crlf(message)
	if !bytes.HasSuffix(message, []byte("\r\n")) {
		message = append(message, "\r\n"...)
	}
	stuffed := bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(stuffed, []byte(".")) {
		stuffed = append([]byte("."), stuffed...)
	}
	return append(stuffed, ".\r\n"...)
}

func crlf(message []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

func ascii(message []byte) bool {
	for _, octet := range message {
		if octet >= 0x80 {
			return false
		}
	}
	return true
}

// connect opens a session on the trusted listener.
func (w *world) connect() *client {
	w.Helper()
	c, err := dial("tcp", w.submission)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.conn.Close() })
	return c
}

// hand gives one message in; it must be taken.
func (w *world) hand(message string, to ...string) string {
	w.Helper()
	c := w.connect()
	defer c.conn.Close()
	id, err := c.send(sender, to, []byte(message))
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// sender is who writes in these tests.
const sender = "news@sender.example"

// letter is a plain message with further header lines.
func letter(header ...string) string {
	return strings.Join(header, "\r\n") + strings.Repeat("\r\n", min(1, len(header))) +
		"From: The News <" + sender + ">\r\nTo: a reader\r\nSubject: News\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\nWhat is new.\r\n"
}

// page is a message in HTML with one link and further header lines.
func page(header ...string) string {
	return strings.Join(header, "\r\n") + strings.Repeat("\r\n", min(1, len(header))) +
		"From: The News <" + sender + ">\r\nTo: a reader\r\nSubject: News\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/html; charset=utf-8\r\n\r\n" +
		"<html><body><p>See <a href=\"" + target + "\">what is new</a>.</p></body></html>\r\n"
}

// target is where the link of page leads.
const target = "https://www.sender.example/new?a=1&b=2"

// replyCode is the code of a refusal; 0 where err is none.
func replyCode(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

func mustRefuse(t testing.TB, what string, err error, code int, text string) {
	t.Helper()
	if replyCode(err) != code || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("%s: %v instead of %d %s", what, err, code, text)
	}
}
