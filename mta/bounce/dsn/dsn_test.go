package dsn_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/bounce/dsn"
	"github.com/postrider-mta/postrider/mta/bounce/report"
)

// parser is made once: its patterns take a while to compile.
var parser = sync.OnceValue(func() *report.Parser { return report.New(bounce.New()) })

func address(t interface{ Fatal(...any) }, text string) mail.Address {
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(text, err)
	}
	return a
}

const original = "Message-ID: <1@shop.example>\r\nFrom: Shop <shop@example.com>\r\nTo: reader@example.net\r\nSubject: your order\r\nContent-Type: text/plain\r\n\r\nThank you.\r\n"

func at(hour int) time.Time { return time.Date(2026, 3, 8, hour, 0, 0, 0, time.UTC) }

// notices are one of each kind.
func notices(t *testing.T) map[string]dsn.Notice {
	t.Helper()
	base := dsn.Notice{
		Host: "mx.shop.example", ID: "06f2k3m8q0v1c4t5a6b7-1", Now: at(12), Arrival: at(9), Original: []byte(original), MaxFull: 1 << 20,
		Envelope: mail.Envelope{From: address(t, "shop@example.com"), ID: "order 7+8"},
	}
	reader := mail.Recipient{Address: address(t, "reader@example.net"), OriginalType: "rfc822", Original: "Reader@example.net"}
	other := mail.Recipient{Address: address(t, "other@example.org")}
	refused := mail.Reply{Code: 550, Enhanced: mail.EnhancedCode{Class: 5, Subject: 1, Detail: 1}, Text: "<reader@example.net>: Recipient address rejected: User unknown in virtual mailbox table, please write to somebody else"}
	with := func(change func(*dsn.Notice), outcomes ...dsn.Outcome) dsn.Notice {
		n := base
		n.Outcomes = outcomes
		if change != nil {
			change(&n)
		}
		return n
	}
	failed := dsn.Outcome{Recipient: reader, Action: bounce.Failed, Reply: refused, RemoteMTA: "mx1.example.net", LastAttempt: at(10)}
	delayed := dsn.Outcome{Recipient: other, Action: bounce.Delayed, Reason: "connection refused", LastAttempt: at(11), RetryUntil: at(23)}
	foreign := mail.Recipient{Address: address(t, "usér@bücher.example"), OriginalType: "utf-8", Original: "usér@bücher.example"}
	return map[string]dsn.Notice{
		"failed":      with(nil, failed),
		"failed-full": with(func(n *dsn.Notice) { n.Envelope.Return = "FULL" }, failed),
		"too-large":   with(func(n *dsn.Notice) { n.Envelope.Return = "FULL"; n.MaxFull = 10 }, failed),
		"delayed":     with(func(n *dsn.Notice) { n.Envelope.Return = "FULL" }, delayed),
		"mixed":       with(nil, failed, delayed, dsn.Outcome{Recipient: other, Action: bounce.Relayed}, dsn.Outcome{Recipient: other, Action: bounce.Expanded}),
		"delivered":   with(nil, dsn.Outcome{Recipient: reader, Action: bounce.Delivered, Reply: mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "queued"}, RemoteMTA: "mx1.example.net"}),
		"expired":     with(nil, dsn.Outcome{Recipient: other, Action: bounce.Failed, Status: mail.EnhancedCode{Class: 4, Subject: 4, Detail: 7}, Reason: "it could not be delivered within 3 days; the last attempt ended with: connection refused"}),
		"utf8": with(func(n *dsn.Notice) {
			n.Envelope.SMTPUTF8 = true
			n.Envelope.From = address(t, "käufer@example.com")
			n.Original = []byte("Message-ID: <2@x>\r\nSubject: grüße\r\n\r\nhello\r\n")
		}, dsn.Outcome{Recipient: foreign, Action: bounce.Failed, Reply: mail.Reply{Code: 550, Text: "unbekannter Empfänger"}}),
		"utf8-escaped": with(nil, dsn.Outcome{Recipient: foreign, Action: bounce.Failed, Reply: mail.Reply{Code: 550, Text: "unbekannter Empfänger"}}),
	}
}

// TestGolden holds every DSN octet for octet; UPDATE_GOLDEN writes them.
func TestGolden(t *testing.T) {
	for name, n := range notices(t) {
		written, err := dsn.Write(n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := filepath.Join("testdata", name+".eml")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(file, written.Message, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written.Message, want) {
			t.Errorf("%s: got\n%s", name, written.Message)
		}
		if utf8 := strings.HasPrefix(name, "utf8"); written.SMTPUTF8 != (name == "utf8") || written.EightBit != utf8 {
			t.Errorf("%s: %t %t", name, written.EightBit, written.SMTPUTF8)
		}
	}
}

// TestReadBack has two others read what was written: our own parser and
// go-message.
func TestReadBack(t *testing.T) {
	for name, n := range notices(t) {
		written, err := dsn.Write(n)
		if err != nil {
			t.Fatal(err)
		}
		readBack(t, name, n, written)
	}
}

func readBack(t interface {
	Errorf(string, ...any)
	Fatal(...any)
}, name string, n dsn.Notice, written dsn.Written,
) {
	r, err := parser().Parse(written.Message)
	if err != nil || r.Kind != report.DSN || !r.Standard || len(r.Recipients) != len(n.Outcomes) {
		t.Fatal(name, err, r.Kind, len(r.Recipients))
	}
	groups := statusGroups(t, written.Message)
	if len(groups) != len(n.Outcomes)+1 {
		t.Fatal(name, len(groups), "groups")
	}
	if r.ReportingMTA != "dns; "+string(n.Host) || groups[0].Get("Reporting-Mta") != r.ReportingMTA || squeeze(r.EnvelopeID) != squeeze(n.Envelope.ID) || groups[0].Get("Original-Envelope-Id") != r.EnvelopeID {
		t.Errorf("%s: %s %q", name, r.ReportingMTA, r.EnvelopeID)
	}
	for i, o := range n.Outcomes {
		got, group := r.Recipients[i], groups[i+1]
		if got.Address != o.Recipient.Address.String() || string(got.Action) != string(o.Action) {
			t.Errorf("%s: %+v, want %+v", name, got, o)
		}
		for field, value := range map[string]string{
			"Final-Recipient": got.FinalRecipient, "Original-Recipient": got.OriginalRecipient, "Action": string(got.Action),
			"Status": got.Status, "Remote-Mta": got.RemoteMTA, "Diagnostic-Code": got.Diagnostic,
		} {
			if strings.Join(strings.Fields(group.Get(field)), " ") != value && group.Has(field) {
				t.Errorf("%s: go-message reads %s as %q, we as %q", name, field, group.Get(field), value)
			}
		}
		said := "smtp; " + o.Reply.String()
		if o.Reply.IsZero() {
			said = "x-postrider; " + o.Reason
		}
		if squeeze(got.Diagnostic) != squeeze(said) && got.Diagnostic != squeeze(said) && o.Reason+o.Reply.Text != "" {
			t.Errorf("%s: diagnostic %q, want %q", name, got.Diagnostic, said)
		}
		if o.RemoteMTA != "" && got.RemoteMTA != "dns; "+o.RemoteMTA {
			t.Errorf("%s: remote MTA %q", name, got.RemoteMTA)
		}
		if o.Recipient.OriginalType == "rfc822" && got.OriginalRecipient != "rfc822; "+o.Recipient.Original {
			t.Errorf("%s: original recipient %q", name, got.OriginalRecipient)
		}
		if group.Has("Remote-Mta") != (strings.TrimSpace(squeeze(o.RemoteMTA)) != "") {
			t.Errorf("%s: Remote-MTA of %q", name, o.RemoteMTA)
		}
		if !o.Status.IsZero() && got.Status != o.Status.String() {
			t.Errorf("%s: status %s, want %s", name, got.Status, o.Status)
		}
	}
}

// squeeze is what a field can keep of text.
func squeeze(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			return ' '
		case r >= 0x80:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))), " ")
}

// statusGroups reads the status part with go-message, and checks the header and
// the other parts.
func statusGroups(t interface{ Fatal(...any) }, written []byte) []textproto.Header {
	entity, err := message.Read(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	media, parameters, err := entity.Header.ContentType()
	if err != nil || media != "multipart/report" || parameters["report-type"] != "delivery-status" || entity.Header.Get("Auto-Submitted") != "auto-replied" {
		t.Fatal(media, err)
	}
	parts := entity.MultipartReader()
	var groups []textproto.Header
	for i := range 3 {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(i, err)
		}
		media, _, _ := part.Header.ContentType()
		content, err := io.ReadAll(part.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i == 0 && media != "text/plain", i == 1 && !strings.HasSuffix(media, "delivery-status"), i == 2 && !strings.Contains(media, "rfc822") && !strings.Contains(media, "global"):
			t.Fatal(i, media)
		case i == 1:
			groups = readGroups(t, content)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return groups
}

func readGroups(t interface{ Fatal(...any) }, content []byte) []textproto.Header {
	var groups []textproto.Header
	for group := range bytes.SplitSeq(bytes.TrimRight(content, "\r\n"), []byte("\r\n\r\n")) {
		header, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(slices.Concat(group, []byte("\r\n\r\n")))))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, header)
	}
	return groups
}

func TestRefuses(t *testing.T) {
	good := notices(t)["failed"]
	for name, c := range map[string]struct {
		change func(*dsn.Notice)
		want   error
	}{
		"null sender": {func(n *dsn.Notice) { n.Envelope.From = mail.Address{} }, dsn.ErrNullSender},
		"no outcome":  {func(n *dsn.Notice) { n.Outcomes = nil }, dsn.ErrNotice},
		"no host":     {func(n *dsn.Notice) { n.Host = "" }, dsn.ErrNotice},
		"no time":     {func(n *dsn.Notice) { n.Now = time.Time{} }, dsn.ErrNotice},
		"no id":       {func(n *dsn.Notice) { n.ID = "" }, dsn.ErrNotice},
		"id":          {func(n *dsn.Notice) { n.ID = "a\r\nX: y" }, dsn.ErrNotice},
		"action": {func(n *dsn.Notice) {
			n.Outcomes = []dsn.Outcome{{Recipient: good.Outcomes[0].Recipient, Action: "lost"}}
		}, dsn.ErrNotice},
		"no recipient": {func(n *dsn.Notice) { n.Outcomes = []dsn.Outcome{{Action: bounce.Failed}} }, dsn.ErrNotice},
	} {
		n := good
		c.change(&n)
		if _, err := dsn.Write(n); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWanted goes through NOTIFY and the defaults.
func TestWanted(t *testing.T) {
	const usual = mail.NotifyFailure | mail.NotifyDelay
	for _, c := range []struct {
		notify, otherwise mail.Notify
		told              string
	}{
		{0, 0, ""},
		{0, usual, "failed delayed"},
		{0, mail.NotifyNever, ""},
		{0, mail.NotifyNever | usual, ""},
		{mail.NotifyNever, usual, ""},
		{mail.NotifySuccess, usual, "delivered relayed expanded"},
		{mail.NotifyFailure, 0, "failed"},
		{mail.NotifyDelay, 0, "delayed"},
		{usual | mail.NotifySuccess, 0, "failed delayed delivered relayed expanded"},
	} {
		var told []string
		for _, action := range []bounce.Action{bounce.Failed, bounce.Delayed, bounce.Delivered, bounce.Relayed, bounce.Expanded, "lost"} {
			if dsn.Wanted(c.notify, c.otherwise, action) {
				told = append(told, string(action))
			}
		}
		if got := strings.Join(told, " "); got != c.told {
			t.Errorf("%v, default %v: %q, want %q", c.notify, c.otherwise, got, c.told)
		}
	}
}

func TestSelect(t *testing.T) {
	n := notices(t)["mixed"]
	n.Outcomes[1].Recipient.Notify = mail.NotifyNever
	if got := dsn.Select(n.Envelope, mail.NotifyFailure|mail.NotifyDelay, n.Outcomes); len(got) != 1 || got[0].Action != bounce.Failed {
		t.Errorf("%+v", got)
	}
	if got := dsn.Select(mail.Envelope{}, mail.NotifyFailure, n.Outcomes); got != nil {
		t.Errorf("the null sender is told of %+v", got)
	}
}

// TestHeaderIsCut returns a long header up to a field's end.
func TestHeaderIsCut(t *testing.T) {
	n := notices(t)["failed"]
	for name, c := range map[string]struct{ original, want string }{
		"long":      {"Message-ID: <1@x>\r\n" + strings.Repeat("X-Long: a\r\n b\r\n", 8000) + "Last: x\r\n\r\nBODY\r\n", "X-Long: a\r\n b\r\n\r\n--"},
		"one field": {"X: " + strings.Repeat("a\r\n ", 40_000) + "\r\n\r\n", "Return-Path: <shop@example.com>\r\n\r\n--"},
		"no body":   {"Message-ID: <1@x>\r\n", "Message-ID: <1@x>\r\n\r\n--"},
		"no header": {"\r\nBODY\r\n", "Return-Path: <shop@example.com>\r\n\r\n--"},
		"nothing":   {"", "Return-Path: <shop@example.com>\r\n\r\n--"},
	} {
		n.Original = []byte(c.original)
		written, err := dsn.Write(n)
		if err != nil || len(written.Message) > 80_000 || !strings.Contains(string(written.Message), c.want) || strings.Contains(string(written.Message), "BODY") {
			t.Errorf("%s: %d octets, %v\n%.3000s", name, len(written.Message), err, written.Message)
		}
	}
}

// TestAnything: whatever a remote server says and whatever the original holds,
// the message keeps its form.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return rapid.OneOf(rapid.String(), rapid.StringMatching(`(a\r\n\r\nAction: delivered\r\n|--=_|é|\x00| |;){0,9}`), rapid.StringN(900, 2000, 4000)).Draw(t, name)
		}
		locals := rapid.SampledFrom([]string{"reader", `"a b"`, "usér", `"\\"`, "a+b=c"})
		n := dsn.Notice{
			Host: "mx.example.com", ID: "x-1", Now: at(1), Arrival: at(1), MaxFull: rapid.IntRange(0, 4000).Draw(t, "max"),
			Envelope: mail.Envelope{
				From: address(t, locals.Draw(t, "from")+"@example.com"), ID: text("envid"), SMTPUTF8: rapid.Bool().Draw(t, "utf8"),
				Return: rapid.SampledFrom([]string{"", "HDRS", "FULL", "full"}).Draw(t, "return"),
			},
			Original: []byte("Message-ID: " + rapid.StringMatching(`<?[ -~]{0,9}>?`).Draw(t, "id") + "\r\n\r\n" + strings.ReplaceAll(text("original"), "\n", "\r\n")),
		}
		for range rapid.IntRange(1, 4).Draw(t, "outcomes") {
			n.Outcomes = append(n.Outcomes, dsn.Outcome{
				Recipient: mail.Recipient{Address: address(t, locals.Draw(t, "to")+"@example.net"), OriginalType: rapid.SampledFrom([]string{"", "rfc822", "utf-8"}).Draw(t, "type"), Original: text("orcpt")},
				Action:    rapid.SampledFrom([]bounce.Action{bounce.Failed, bounce.Delayed, bounce.Delivered, bounce.Relayed, bounce.Expanded}).Draw(t, "action"),
				Reply:     mail.Reply{Code: rapid.SampledFrom([]int{0, 250, 450, 550}).Draw(t, "code"), Text: text("reply")}, RemoteMTA: text("mta"), Reason: text("reason"),
			})
		}
		written, err := dsn.Write(n)
		if err != nil {
			t.Fatal(err)
		}
		own, _, _ := bytes.Cut(written.Message, []byte("\r\nReturn-Path: "))
		for line := range bytes.SplitSeq(own, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("line %q", line)
			}
		}
		if _, err := mimetree.Parse(written.Message, mimetree.Options{}); err != nil {
			t.Fatalf("%v in\n%s", err, written.Message)
		}
		readBackLoosely(t, n, written)
	})
}

// readBackLoosely compares what no length limit touches.
func readBackLoosely(t *rapid.T, n dsn.Notice, written dsn.Written) {
	r, err := parser().Parse(written.Message)
	if err != nil || !r.Standard || len(r.Recipients) != len(n.Outcomes) || len(statusGroups(t, written.Message)) != len(n.Outcomes)+1 {
		t.Fatalf("%d recipients of %d, %v in\n%s", len(r.Recipients), len(n.Outcomes), err, written.Message)
	}
	for i, o := range n.Outcomes {
		if got := r.Recipients[i]; got.Address != o.Recipient.Address.String() || string(got.Action) != string(o.Action) {
			t.Fatalf("%+v, want %+v", got, o)
		}
	}
}
