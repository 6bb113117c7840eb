package smtpclient

import (
	"encoding/base64"
	"slices"

	"github.com/postrider-mta/postrider/internal/mail"
)

// maxCommand is RFC 5321 section 4.5.3.1.4 without the CRLF.
const maxCommand = 510

// authenticate logs in where the options name a user (RFC 4954): under TLS, or
// to a server on this machine.
func (c *Client) authenticate() error {
	switch {
	case c.options.Username == "":
		return nil
	case c.state == nil && !c.RemoteAddr().Addr().IsLoopback():
		return c.fail(AUTH, mail.Reply{}, ErrAuth)
	case slices.Contains(c.offer.Auth, "PLAIN"):
		return c.authPlain()
	case slices.Contains(c.offer.Auth, "LOGIN"):
		return c.authLogin()
	}
	return c.fail(AUTH, mail.Reply{}, ErrAuth)
}

// authPlain is RFC 4616, with an initial response where it fits the line.
func (c *Client) authPlain() error {
	response := encode("\x00" + c.options.Username + "\x00" + c.options.Password)
	if line := "AUTH PLAIN " + response; len(line) <= maxCommand {
		return c.authSteps(line)
	}
	return c.authSteps("AUTH PLAIN", response)
}

func (c *Client) authLogin() error {
	return c.authSteps("AUTH LOGIN", encode(c.options.Username), encode(c.options.Password))
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// authSteps sends each line but the first only when the server asks for it.
func (c *Client) authSteps(lines ...string) error {
	for i, line := range lines {
		reply, err := c.command(AUTH, line)
		if err != nil {
			return err
		}
		last := i == len(lines)-1
		if last && !reply.Positive() || !last && reply.Code != 334 {
			return c.fail(AUTH, reply, nil)
		}
	}
	return nil
}
