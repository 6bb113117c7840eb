package smtpclient

import (
	"errors"
	"net"
	"strconv"
	"time"
)

// lastWordsTime is how long a server that stopped reading may take to say why.
const lastWordsTime = time.Second

// say writes the message of an invited transaction and the envelope of the one
// behind it, whichever there is, in as few writes as the blocks allow; and then
// an envelope that came meanwhile.
func (c *Client) say(invited, next *transaction) {
	for invited != nil || next != nil {
		c.flight.pen.Lock()
		err := c.writeFlight(invited, next)
		c.flight.pen.Unlock()
		invited, next = nil, c.said(err, invited, next)
	}
}

func (c *Client) writeFlight(invited, next *transaction) error {
	data := c.dataWriter()
	if invited != nil {
		if err := c.addMessage(data, invited); err != nil {
			return err
		}
	}
	if next != nil {
		if err := c.addEnvelope(data, next); err != nil {
			return err
		}
	}
	return data.flush()
}

// addMessage answers an invitation: by a lone dot where no recipient is left
// (RFC 2920 section 3.1).
func (c *Client) addMessage(data *dataWriter, x *transaction) error {
	if x.accepted == 0 {
		return data.end()
	}
	c.traceMessage(x.size)
	return data.message(x.Message)
}

// addEnvelope adds all that need not wait for an answer.
func (c *Client) addEnvelope(data *dataWriter, x *transaction) error {
	c.out = c.out[:0]
	for i := range x.steps() {
		if s := x.step(i); s.command != Final {
			c.out = c.appendStep(c.out, x, s)
		}
	}
	if x.chunked {
		c.out = append(c.out, "BDAT "...)
		c.out = append(strconv.AppendInt(c.out, x.size, 10), " LAST\r\n"...)
	}
	c.traceCommands("", c.out)
	if err := data.add(c.out); err != nil || !x.chunked {
		return err
	}
	c.traceMessage(x.size)
	return data.chunk(x.Message)
}

// said notes that something was written, or why it was not, and returns an
// envelope that may be written now.
func (c *Client) said(err error, all ...*transaction) (next *transaction) {
	f := &c.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.spoken.Broadcast()
	if err != nil {
		c.mute(err)
		return nil
	}
	now := time.Now()
	for _, x := range all {
		if x != nil {
			x.unsaid--
			x.written = now
		}
	}
	if len(f.queue) == 0 || c.failure != nil {
		return nil
	}
	if head := f.queue[0]; !f.timed && head.unsaid == 0 {
		// The listener waits without a deadline for what was not said yet.
		c.await(head)
	}
	if last := len(f.queue) - 1; f.next != nil && (last == 0 || f.queue[last-1].told()) {
		next, f.next = f.next, nil
	}
	return next
}

// told reports that the message is written, so that an envelope may follow.
func (x *transaction) told() bool { return x.invited && x.unsaid == 0 }

// mute notes that nothing can be written any more. What the server still says
// is heard, for a moment: often it says why. The caller holds f.mu.
func (c *Client) mute(err error) {
	f := &c.flight
	if f.broken != nil || c.failure != nil {
		return
	}
	f.broken, f.until = err, time.Now().Add(lastWordsTime)
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		f.until = time.Now()
	}
	c.wire.readUntil(f.until)
}
