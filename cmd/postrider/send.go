package main

import (
	"fmt"
	"io"
	"mime"
	"os"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type sendCommand struct {
	To      []string `arg:"" help:"Recipient addresses."`
	From    string   `help:"Sender address, for the envelope and the header." required:"" placeholder:"ADDRESS"`
	Tenant  string   `help:"Tenant to send for." placeholder:"NAME"`
	Stream  string   `help:"Stream to send in." placeholder:"NAME"`
	Subject string   `help:"Subject of the test message." default:"Postrider test message"`
	Text    string   `help:"Text of the test message." default:"This message shows that mail leaves this host."`
	File    string   `help:"Send this message, header and body, instead; - for standard input." placeholder:"FILE"`
}

func (c sendCommand) Run(e *environment) error {
	message, err := c.message(e)
	if err != nil {
		return err
	}
	client := e.client()
	defer client.Close()
	sent, err := client.Send(e.ctx, api.SendRequest{Tenant: c.Tenant, From: c.From, To: c.To, Message: message})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(sent)
	}
	fmt.Fprintf(e.out, "queued as %s\n", sent.Message)
	return nil
}

func (c sendCommand) message(e *environment) ([]byte, error) {
	var b strings.Builder
	if c.Stream != "" {
		fmt.Fprintf(&b, "X-Postrider-Stream: %s\r\n", c.Stream)
	}
	switch c.File {
	case "":
		fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
			c.From, strings.Join(c.To, ", "), mime.QEncoding.Encode("utf-8", c.Subject), c.Text)
		return []byte(b.String()), nil
	case "-":
		content, err := io.ReadAll(e.in)
		return append([]byte(b.String()), content...), err
	default:
		content, err := os.ReadFile(c.File)
		return append([]byte(b.String()), content...), err
	}
}
