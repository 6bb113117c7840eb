package powerfail

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// remote follows the dialogue with a remote server, to know what it answered
// about whom.
type remote struct {
	// answered is called for each recipient with the code that decides.
	answered func(address string, code int) error

	said, heard []byte
	// chunk is how much of one is still to be said, and content that what is
	// said is a message, up to its dot.
	chunk   int
	content bool
	// commands wait for their replies, the greeting among them.
	commands []string
	greeted  bool
	// recipients are those taken in this transaction.
	recipients []string
}

// say follows what is said to the server.
func (r *remote) say(data []byte) error {
	r.said = append(r.said, data...)
	for len(r.said) > 0 {
		switch {
		case r.chunk > 0:
			n := min(r.chunk, len(r.said))
			r.said, r.chunk = r.said[n:], r.chunk-n
		case r.content:
			end := bytes.Index(append([]byte("\r\n"), r.said...), []byte("\r\n.\r\n"))
			if end < 0 {
				return nil
			}
			r.said, r.content = r.said[end+len(".\r\n"):], false
			r.commands = append(r.commands, ".")
		default:
			line, rest, whole := bytes.Cut(r.said, []byte("\r\n"))
			if !whole {
				return nil
			}
			r.said = rest
			if err := r.command(string(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *remote) command(line string) error {
	r.commands = append(r.commands, line)
	words := strings.Fields(line)
	if len(words) < 2 || !strings.EqualFold(words[0], "BDAT") {
		return nil
	}
	n, err := strconv.Atoi(words[1])
	r.chunk = max(0, n)
	return err
}

// hear follows the replies.
func (r *remote) hear(data []byte) error {
	r.heard = append(r.heard, data...)
	for {
		line, rest, whole := bytes.Cut(r.heard, []byte("\r\n"))
		if !whole {
			return nil
		}
		r.heard = rest
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		code, err := strconv.Atoi(string(line[:min(3, len(line))]))
		if err == nil {
			err = r.reply(code)
		}
		if err != nil {
			return fmt.Errorf("reply %q: %w", line, err)
		}
	}
}

func (r *remote) reply(code int) error {
	if !r.greeted {
		r.greeted = true
		return nil
	}
	if len(r.commands) == 0 {
		return nil // it says good-bye
	}
	command := r.commands[0]
	r.commands = r.commands[1:]
	verb, argument, _ := strings.Cut(command, " ")
	switch strings.ToUpper(verb) {
	case "MAIL", "RSET":
		r.recipients = nil
	case "RCPT":
		_, path, _ := strings.Cut(argument, ":")
		path, _, _ = strings.Cut(path, " ")
		if code/100 != 2 {
			return r.answered(path, code)
		}
		r.recipients = append(r.recipients, path)
	case "DATA":
		if r.content = code == 354; !r.content {
			return r.ended(code)
		}
	case "BDAT", ".":
		if verb == "." || strings.HasSuffix(strings.ToUpper(argument), "LAST") {
			return r.ended(code)
		}
	}
	return nil
}

// ended is the end of a transaction.
func (r *remote) ended(code int) error {
	recipients := r.recipients
	r.recipients = nil
	for _, path := range recipients {
		if err := r.answered(path, code); err != nil {
			return err
		}
	}
	return nil
}
