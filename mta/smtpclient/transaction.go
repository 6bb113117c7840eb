package smtpclient

import (
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// transaction is one message on its way: what is to be said, step by step, and
// what the server has decided so far. It does no I/O.
type transaction struct {
	*Transaction
	// size of the message in octets, as dataSize counts.
	size int64
	// utf8 holds if MAIL has to ask for SMTPUTF8.
	utf8    bool
	answers []Answer
	// asked are the indexes of the recipients that the server is asked about.
	asked []int
	// first is RSET where an earlier transaction was left open, else MAIL.
	first Command
	// refused holds if MAIL was, begun if it was not.
	refused, begun bool
	// accepted counts recipients that the server took.
	accepted int
	// invited holds if DATA was answered by 354.
	invited bool
	// heard counts the steps that the server has answered.
	heard int

	// The rest is of transactions in flight alone.

	// chunked: the message follows its envelope at once (RFC 3030).
	chunked bool
	// behind holds if it was said before the one ahead of it was answered.
	behind bool
	// crowded holds if as many were under way as may be.
	crowded bool
	// unsaid counts what is being written, or about to be; written is when the
	// last of it was, or when it was begun.
	unsaid  int
	written time.Time
}

// step is one command of the transaction before the message.
type step struct {
	command Command
	// recipient is an index for RCPT.
	recipient int
}

// steps returns how many steps are said without waiting: MAIL, each RCPT, DATA
// or the message as a chunk, and perhaps RSET before them.
func (x *transaction) steps() int {
	n := len(x.asked) + 2
	if x.first == RSET {
		n++
	}
	return n
}

// step returns the i-th step; the message is the one behind DATA.
func (x *transaction) step(i int) step {
	if x.first == RSET {
		if i == 0 {
			return step{command: RSET}
		}
		i--
	}
	switch {
	case i == 0:
		return step{command: MAIL}
	case i <= len(x.asked):
		return step{RCPT, x.asked[i-1]}
	case i == len(x.asked)+1 && !x.chunked:
		return step{command: DATA}
	}
	return step{command: Final}
}

// over reports that the server has answered all there is to answer.
func (x *transaction) over() bool {
	if x.invited {
		return x.heard > x.steps()
	}
	return x.heard == x.steps()
}

// unseen reports that the server has not looked at the envelope yet.
func (x *transaction) unseen() bool {
	return x.heard == 0 || x.heard == 1 && x.first == RSET
}

// turnedAway reports that the server took nothing, for another reason than
// recipients that it will never take.
func (x *transaction) turnedAway() bool {
	away := false
	for _, i := range x.asked {
		a := x.answers[i]
		if a.Reply.Positive() {
			return false
		}
		away = away || a.Command != RCPT || a.Reply.Temporary()
	}
	return away
}

// pointless reports whether nothing can come of the next step any more; all
// earlier ones are answered if settled.
func (x *transaction) pointless(s step, settled bool) bool {
	return x.refused || s.command == DATA && settled && x.accepted == 0
}

// take notes the reply to a step.
func (x *transaction) take(s step, reply mail.Reply) {
	switch s.command {
	case MAIL:
		x.takeMail(reply)
	case RCPT:
		x.takeRcpt(s.recipient, reply)
	case DATA:
		x.takeData(reply)
	case Final:
		x.decide(Answer{reply, Final})
	}
}

func (x *transaction) takeMail(reply mail.Reply) {
	if reply.Positive() {
		x.begun = true
		return
	}
	x.refused = true
	for _, i := range x.asked {
		x.answers[i] = Answer{reply, MAIL}
	}
}

// takeRcpt ignores what is said about recipients after MAIL was refused: it
// is about the sequence of commands, not about them.
func (x *transaction) takeRcpt(i int, reply mail.Reply) {
	switch {
	case x.refused:
	case reply.Positive():
		x.accepted++
	default:
		x.answers[i] = Answer{reply, RCPT}
	}
}

func (x *transaction) takeData(reply mail.Reply) {
	if reply.Code == 354 {
		x.invited = true
		return
	}
	x.decide(Answer{reply, DATA})
}

// decide gives the answer to every recipient that has none.
func (x *transaction) decide(a Answer) {
	for _, i := range x.asked {
		if x.answers[i] == (Answer{}) {
			x.answers[i] = a
		}
	}
}
