package smtpclient

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/postrider-mta/postrider/internal/mail"
)

func TestReplyInTheWild(t *testing.T) {
	enhanced := func(c, s, d int) mail.EnhancedCode { return mail.EnhancedCode{Class: c, Subject: s, Detail: d} }
	for name, test := range map[string]struct {
		wire string
		want mail.Reply
	}{
		"plain":                   {"250 ok\r\n", mail.Reply{Code: 250, Text: "ok"}},
		"bare code":               {"250\r\n", mail.Reply{Code: 250}},
		"code and space":          {"250 \r\n", mail.Reply{Code: 250}},
		"bare LF":                 {"250 ok\n", mail.Reply{Code: 250, Text: "ok"}},
		"several CR":              {"250 ok\r\r\n", mail.Reply{Code: 250, Text: "ok"}},
		"tab":                     {"250\tok\r\n", mail.Reply{Code: 250, Text: "ok"}},
		"enhanced":                {"550 5.1.1 no such user\r\n", mail.Reply{Code: 550, Enhanced: enhanced(5, 1, 1), Text: "no such user"}},
		"enhanced alone":          {"550 5.1.1\r\n", mail.Reply{Code: 550, Enhanced: enhanced(5, 1, 1), Text: ""}},
		"wrong class":             {"550 4.1.1 odd\r\n", mail.Reply{Code: 550, Text: "4.1.1 odd"}},
		"no enhanced code":        {"550 5.1.1.1 odd\r\n", mail.Reply{Code: 550, Text: "5.1.1.1 odd"}},
		"several lines":           {"550-5.7.1 a\r\n550-5.7.1  b\r\n550 5.7.1 c\r\n", mail.Reply{Code: 550, Enhanced: enhanced(5, 7, 1), Text: "a b c"}},
		"enhanced on last":        {"550-a\r\n550 5.7.1 b\r\n", mail.Reply{Code: 550, Enhanced: enhanced(5, 7, 1), Text: "a b"}},
		"codes differ":            {"250-a\r\n550 b\r\n", mail.Reply{Code: 550, Text: "a b"}},
		"codes differ back":       {"550-a\r\n250 b\r\n", mail.Reply{Code: 250, Text: "a b"}},
		"empty lines":             {"250-\r\n250-\r\n250\r\n", mail.Reply{Code: 250}},
		"text without code":       {"250-a\r\nhello there\r\n250 b\r\n", mail.Reply{Code: 250, Text: "a hello there b"}},
		"empty line inside":       {"250-a\r\n\r\n250 b\r\n", mail.Reply{Code: 250, Text: "a b"}},
		"unknown class":           {"650 what\r\n", mail.Reply{Code: 650, Text: "what"}},
		"preliminary":             {"150 wait\r\n", mail.Reply{Code: 150, Text: "wait"}},
		"NUL":                     {"250 a\x00b\r\n", mail.Reply{Code: 250, Text: "a b"}},
		"controls":                {"250 a\x1b[31m\x7f\u0085\r\n", mail.Reply{Code: 250, Text: "a [31m"}},
		"not UTF-8":               {"250 a\xff\xfeb\r\n", mail.Reply{Code: 250, Text: "a\ufffdb"}},
		"direction override":      {"250 a\u202eb\r\n", mail.Reply{Code: 250, Text: "a b"}},
		"UTF-8":                   {"550 5.1.1 unbekannter Empfänger\r\n", mail.Reply{Code: 550, Enhanced: enhanced(5, 1, 1), Text: "unbekannter Empfänger"}},
		"enhanced with huge part": {"550 5.9999.1 x\r\n", mail.Reply{Code: 550, Text: "5.9999.1 x"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reader := range []io.Reader{strings.NewReader(test.wire), iotest.OneByteReader(strings.NewReader(test.wire))} {
				got, err := newReplyReader(reader, 0, 0).reply()
				if err != nil || got != test.want {
					t.Errorf("got %+v, %v; want %+v", got, err, test.want)
				}
			}
		})
	}
}

func TestReplyMalformed(t *testing.T) {
	for name, test := range map[string]struct {
		wire string
		want error
	}{
		"nothing":      {"", io.ErrUnexpectedEOF},
		"cut":          {"250 o", io.ErrUnexpectedEOF},
		"cut between":  {"250-a\r\n", io.ErrUnexpectedEOF},
		"no code":      {"hello\r\n", ErrReply},
		"empty line":   {"\r\n", ErrReply},
		"two digits":   {"25 ok\r\n", ErrReply},
		"four digits":  {"2500 ok\r\n", ErrReply},
		"glued":        {"250ok\r\n", ErrReply},
		"HTTP":         {"HTTP/1.1 400 Bad Request\r\n", ErrReply},
		"TLS alert":    {"\x15\x03\x01\x00\x02\x02\n", ErrReply},
		"long line":    {"250 " + strings.Repeat("x", 9000) + "\r\n", ErrReply},
		"endless line": {strings.Repeat("x", 1<<20), ErrReply},
		"many lines":   {strings.Repeat("250-x\r\n", 65) + "250 x\r\n", ErrReply},
		"long reply":   {strings.Repeat("250-"+strings.Repeat("x", 500)+"\r\n", 20) + "250 x\r\n", ErrReply},
	} {
		t.Run(name, func(t *testing.T) {
			if reply, err := newReplyReader(strings.NewReader(test.wire), 0, 0).reply(); !errors.Is(err, test.want) {
				t.Errorf("got %+v, %v; want %v", reply, err, test.want)
			}
		})
	}
}

func TestReplyCapsAreExact(t *testing.T) {
	wire := strings.Repeat("250-x\r\n", 3) + "250 x\r\n"
	if _, err := newReplyReader(strings.NewReader(wire), len(wire), 4).reply(); err != nil {
		t.Errorf("at the caps: %v", err)
	}
	if _, err := newReplyReader(strings.NewReader(wire), len(wire)-1, 4).reply(); !errors.Is(err, ErrReply) {
		t.Errorf("an octet too many: %v", err)
	}
	if _, err := newReplyReader(strings.NewReader(wire), len(wire), 3).reply(); !errors.Is(err, ErrReply) {
		t.Errorf("a line too many: %v", err)
	}
}

func TestReplyDoesNotReadTenMegabytes(t *testing.T) {
	counter := &countingReader{r: io.LimitReader(endless{}, 10<<20)}
	if _, err := newReplyReader(counter, 0, 0).reply(); !errors.Is(err, ErrReply) {
		t.Fatalf("got %v", err)
	}
	if counter.n > 64<<10 {
		t.Errorf("read %d octets", counter.n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "250-x\r\n"[i%7]
	}
	return len(p), nil
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"250 ok\r\n", "250\r\n", "250-a\r\n550 b\r\n", "421-4.7.0 x\n421 4.7.0\n", "\x00\xff\n",
		"250-\r\nx\r\n250 \u202e\r\n354 go\r\n", "550 5.1.1 <a@example.com>\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		whole := replies(t, bytes.NewReader(wire))
		byByte := replies(t, iotest.OneByteReader(bytes.NewReader(wire)))
		if len(whole) != len(byByte) {
			t.Fatalf("%d replies at once, %d by octet", len(whole), len(byByte))
		}
		for i := range whole {
			if whole[i] != byByte[i] {
				t.Fatalf("%+v at once, %+v by octet", whole[i], byByte[i])
			}
		}
	})
}

func replies(t *testing.T, r io.Reader) []mail.Reply {
	reader := newReplyReader(r, 0, 0)
	var out []mail.Reply
	for {
		reply, err := reader.reply()
		if err != nil {
			return out
		}
		if reply.Code < 0 || reply.Code > 999 || !utf8.ValidString(reply.Text) || strings.ContainsFunc(reply.Text, unicode.IsControl) {
			t.Fatalf("unfit reply %+v", reply)
		}
		if !reply.Enhanced.IsZero() && reply.Enhanced.Class != reply.Code/100 {
			t.Fatalf("enhanced code of another class in %+v", reply)
		}
		out = append(out, reply)
	}
}
