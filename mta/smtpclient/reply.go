package smtpclient

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	defaultReplyOctets = 8192
	defaultReplyLines  = 64
	// readBuffer holds the replies to a usual flight.
	readBuffer = 4096
)

// replyReader reads replies (RFC 5321 section 4.2) as they come in the wild: a
// code, perhaps a separator, perhaps a text. When the lines of a reply
// disagree, the last one's code rules. What lies inside an open multi-line
// reply without a code is taken for text.
type replyReader struct {
	r                   *bufio.Reader
	maxOctets, maxLines int
	// text is that of the last reply, its lines ended by LF.
	text []byte
}

func newReplyReader(r io.Reader, maxOctets, maxLines int) *replyReader {
	if maxOctets <= 0 {
		maxOctets = defaultReplyOctets
	}
	if maxLines <= 0 {
		maxLines = defaultReplyLines
	}
	return &replyReader{r: bufio.NewReaderSize(r, readBuffer), maxOctets: maxOctets, maxLines: maxLines}
}

// buffered returns how many octets the server sent beyond the last reply, as
// far as they have been read.
func (r *replyReader) buffered() int { return r.r.Buffered() }

// next reads one reply. The lines of its text are valid until the next call.
func (r *replyReader) next() (code int, err error) {
	r.text = r.text[:0]
	left := r.maxOctets
	for count := 0; ; count++ {
		if count == r.maxLines {
			return 0, fmt.Errorf("%w: more than %d lines", ErrReply, r.maxLines)
		}
		start := len(r.text)
		if err := r.line(&left); err != nil {
			return 0, err
		}
		line := r.text[start:]
		lineCode, rest, last, ok := splitLine(line)
		if !ok {
			if count == 0 {
				return 0, fmt.Errorf("%w: no reply code", ErrReply)
			}
			lineCode, rest, last = code, line, false
		}
		code = lineCode
		r.text = append(append(r.text[:start], rest...), '\n')
		if last {
			return code, nil
		}
	}
}

// line appends one line without its end to r.text.
func (r *replyReader) line(left *int) error {
	start := len(r.text)
	for {
		chunk, err := r.r.ReadSlice('\n')
		if *left -= len(chunk); *left < 0 {
			return fmt.Errorf("%w: longer than %d octets", ErrReply, r.maxOctets)
		}
		r.text = append(r.text, chunk...)
		switch err {
		case nil:
			r.text = r.text[:start+len(bytes.TrimRight(r.text[start:], "\r\n"))]
			return nil
		case bufio.ErrBufferFull:
		case io.EOF:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// splitLine takes a reply line apart; ok is false if it does not begin with a
// code.
func splitLine(line []byte) (code int, rest []byte, last, ok bool) {
	if len(line) < 3 {
		return 0, nil, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, nil, false, false
		}
		code = code*10 + int(c-'0')
	}
	if len(line) == 3 {
		return code, nil, true, true
	}
	switch line[3] {
	case '-':
		return code, line[4:], false, true
	case ' ', '\t':
		return code, line[4:], true, true
	}
	return 0, nil, false, false
}

// reply reads one reply and makes it fit for events and logs.
func (r *replyReader) reply() (mail.Reply, error) {
	code, err := r.next()
	if err != nil {
		return mail.Reply{}, err
	}
	return makeReply(code, string(r.text)), nil
}

// makeReply joins the lines of text and parses the enhanced status code off
// each of them. A code of another class than the reply's is no enhanced code
// (RFC 2034 section 4) but text; when lines disagree, the last one's rules.
func makeReply(code int, text string) mail.Reply {
	reply := mail.Reply{Code: code}
	if line, one := strings.CutSuffix(text, "\n"); one && strings.IndexByte(line, '\n') < 0 {
		reply.Enhanced, reply.Text = cutEnhanced(code, line)
		reply.Text = sanitise(reply.Text)
		return reply
	}
	var words []string
	for line := range strings.Lines(text) {
		enhanced, rest := cutEnhanced(code, line)
		if !enhanced.IsZero() {
			reply.Enhanced = enhanced
		}
		if rest = sanitise(rest); rest != "" {
			words = append(words, rest)
		}
	}
	reply.Text = strings.Join(words, " ")
	return reply
}

func cutEnhanced(code int, line string) (mail.EnhancedCode, string) {
	line = strings.TrimSpace(line)
	word, rest, _ := strings.Cut(line, " ")
	enhanced, ok := mail.ParseEnhancedCode(word)
	if !ok || enhanced.Class != code/100 {
		return mail.EnhancedCode{}, line
	}
	return enhanced, rest
}

// sanitise replaces what must not reach a log, a terminal or JSON: controls,
// line separators and whatever is not UTF-8.
func sanitise(s string) string {
	if !isPrintableASCII(s) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	}
	return strings.TrimSpace(s)
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
