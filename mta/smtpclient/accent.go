package smtpclient

import "github.com/postrider-mta/postrider/internal/mail"

// accent is how a server words its answers, learned from a transaction that
// went well while nothing else was under way. With several in flight, a server
// that answers once too often would have its answer to a command taken for the
// answer to a message; most servers word the two differently.
type accent struct {
	// mail and rcpt are answers to commands, final that to a message.
	mail, rcpt, final mail.Reply
	known             bool
}

// learn notes a positive answer; that to a message completes the lesson.
func (a *accent) learn(command Command, reply mail.Reply) {
	if a.known || !reply.Positive() {
		return
	}
	switch command {
	case MAIL:
		a.mail = reply
	case RCPT:
		a.rcpt = reply
	case Final:
		a.final, a.known = reply, true
	}
}

// slips reports that what stands where the answer to a message is due is
// worded like the answer to a command.
func (a *accent) slips(reply mail.Reply) bool {
	return a.known && !alike(reply, a.final) && (alike(reply, a.rcpt) || alike(reply, a.mail))
}

// alike compares by enhanced status code, and by text where there is none.
func alike(a, b mail.Reply) bool {
	return a.Code == b.Code && a.Enhanced == b.Enhanced && (!a.Enhanced.IsZero() || a.Text == b.Text)
}
