package smtpclient

import (
	"fmt"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
)

// traceCommands tells Options.Trace of command lines, without what
// authenticates.
func (c *Client) traceCommands(command Command, lines []byte) {
	if c.options.Trace == nil {
		return
	}
	for line := range strings.Lines(string(lines)) {
		if command == AUTH {
			word, _, _ := strings.Cut(line, " ")
			if word != "AUTH" {
				word = ""
			}
			line = strings.TrimSpace(word + " (secret)")
		}
		c.options.Trace(true, strings.TrimRight(line, "\r\n"))
	}
}

func (c *Client) traceMessage(octets int64) {
	if c.options.Trace != nil {
		c.options.Trace(true, fmt.Sprintf("(%d octets of message)", octets))
	}
}

func (c *Client) traceReply(reply mail.Reply, err error) {
	switch {
	case c.options.Trace == nil:
	case err != nil:
		c.options.Trace(false, "("+plainError(err).Error()+")")
	default:
		c.options.Trace(false, reply.String())
	}
}
