package smtpclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/internal/mail"
)

// pipelineWindow is how many commands may wait for their replies: so few that
// the replies fit the buffers between us and a server that does not read on
// before it has written them (RFC 2920 section 3.1).
const pipelineWindow = 100

// Send leads one transaction and returns one answer per recipient, in their
// order. The error, if any, is an *Error: the connection is of no more use,
// and the answers are what was decided before; a zero Answer means that the
// recipient has to be tried again.
//
// Where the server offers PIPELINING, MAIL, every RCPT and DATA travel in one
// flight (RFC 2920), or in a sliding window where there are very many.
// Recipients that the server has no extension for are answered without asking
// it.
func (c *Client) Send(ctx context.Context, t Transaction) ([]Answer, error) {
	x := c.begin(&t)
	if c.failure == nil && len(x.asked) == 0 {
		return x.answers, nil
	}
	if c.dirty {
		x.first = RSET
	}
	err := c.session(ctx, func() error { return c.transact(x) })
	return x.answers, err
}

func (c *Client) transact(x *transaction) error {
	if err := c.inStep(MAIL); err != nil {
		return err
	}
	if err := c.exchange(x); err != nil {
		return err
	}
	c.transacted = true
	c.dirty = x.begun && !x.invited
	if !x.invited {
		return nil
	}
	if err := c.inStep(DATA); err != nil {
		return err
	}
	if x.accepted == 0 {
		return c.sendNothing()
	}
	return c.sendMessage(x)
}

// inStep makes sure that the server has said nothing that we did not ask for:
// it would be taken for the answer to what comes next.
func (c *Client) inStep(next Command) error {
	if c.replies.buffered() == 0 {
		return nil
	}
	if _, err := c.read(next); err != nil {
		return err
	}
	return c.fail(next, mail.Reply{}, fmt.Errorf("%w: unasked", ErrReply))
}

// exchange says everything up to DATA. Without PIPELINING each command waits
// for the reply to the one before.
func (c *Client) exchange(x *transaction) error {
	window := 1
	if c.offer.Pipelining && !c.flight.single {
		window = pipelineWindow
	}
	sent, answered := 0, 0
	c.out = c.out[:0]
	for {
		for sent < x.steps() && sent-answered < window && !x.pointless(x.step(sent), sent == answered) {
			c.out = c.appendStep(c.out, x, x.step(sent))
			sent++
		}
		if answered == sent {
			return nil
		}
		if err := c.flush(x.step(answered).command); err != nil {
			return err
		}
		// Half a window at a time, so that further commands travel together.
		for enough := x.enough(sent, window); answered < enough; answered++ {
			if err := c.answer(x, x.step(answered)); err != nil {
				return err
			}
		}
	}
}

// enough returns how many steps must be answered before more are sent: all, if
// there are no more.
func (x *transaction) enough(sent, window int) int {
	if sent == x.steps() || x.refused {
		return sent
	}
	return sent - window/2
}

func (c *Client) appendStep(out []byte, x *transaction, s step) []byte {
	switch s.command {
	case MAIL:
		return c.appendMail(out, x)
	case RCPT:
		return c.appendRcpt(out, &x.Recipients[s.recipient])
	}
	return append(append(out, s.command...), "\r\n"...)
}

// answer reads the reply to one step. A reply that is none to this command
// shows that the dialogue is out of step, and then nothing that follows could
// be trusted.
func (c *Client) answer(x *transaction, s step) error {
	reply, err := c.read(s.command)
	var failure *Error
	if errors.As(err, &failure) && !failure.Reply.IsZero() {
		x.take(s, failure.Reply)
		return err
	}
	switch {
	case err != nil:
		return err
	case s.command == RSET && !reply.Positive():
		return c.fail(RSET, reply, nil)
	case unexpected(s.command, reply):
		return c.fail(s.command, reply, unexpectedCode(reply))
	}
	x.take(s, reply)
	x.heard++
	return nil
}

// unexpected reports a reply that no server gives to this command.
func unexpected(command Command, reply mail.Reply) bool {
	if command == DATA {
		return reply.Positive() || reply.Code/100 == 3 && reply.Code != 354
	}
	return reply.Code/100 == 3
}

func unexpectedCode(reply mail.Reply) error {
	return fmt.Errorf("%w: unexpected code %d", ErrReply, reply.Code)
}

// sendNothing answers an invitation that no recipient is left for with a lone
// dot (RFC 2920 section 3.1). What the server says to it is of no interest.
func (c *Client) sendNothing() error {
	c.out = append(c.out[:0], ".\r\n"...)
	if err := c.flush(Final); err != nil {
		return err
	}
	_, err := c.read(Final)
	return err
}

// sendMessage sends the message and takes its answer. When the server breaks
// off in the middle, its last words decide only if they refuse.
func (c *Client) sendMessage(x *transaction) error {
	if err := c.writeMessage(x); err != nil {
		reply := c.lastWords(err)
		if !reply.IsZero() {
			x.decide(Answer{reply, Final})
		}
		return c.fail(Final, reply, err)
	}
	reply, err := c.read(Final)
	if reply.Code == 421 {
		x.decide(Answer{reply, Final})
	}
	if err != nil {
		return err
	}
	if unexpected(Final, reply) {
		return c.fail(Final, reply, unexpectedCode(reply))
	}
	x.decide(Answer{reply, Final})
	x.heard++
	return nil
}

func (c *Client) writeMessage(x *transaction) error {
	data := c.dataWriter()
	if err := data.message(x.Message); err != nil {
		return err
	}
	return data.flush()
}

// dataWriter returns the connection's, with nothing left of what it wrote
// before.
func (c *Client) dataWriter() *dataWriter {
	if c.data == nil {
		c.data = newDataWriter(c.wire, c.options.Timeouts.Block)
	}
	c.data.begin()
	return c.data
}
