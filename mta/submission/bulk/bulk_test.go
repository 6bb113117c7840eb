package bulk_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// good breaks no rule.
const good = "From: The Shop <news@shop.example>\nTo: reader@gmail.com\nSubject: news\nDate: Mon, 02 Jan 2006 15:04:05 -0700\n" +
	"Message-ID: <1.2-x@shop.example>\nList-Unsubscribe: <mailto:leave@shop.example>,\n <https://shop.example/u?x=1>\n" +
	"List-Unsubscribe-Post: List-Unsubscribe=One-Click\nFeedback-ID: spring:shop:abcde\n" +
	"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Hello. <a href=\"https://shop.example/u\">Unsubscribe</a></p>\n"

// parse splits a message as simply as it is written here. From holds the
// mailboxes between angle brackets.
func parse(t testing.TB, text string) bulk.Message {
	t.Helper()
	text = strings.ReplaceAll(text, "\n", "\r\n")
	m := bulk.Message{Octets: []byte(text), Aligned: func(from mail.Domain) bool { return from.Within("shop.example") }}
	header, _, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n ", " "), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		m.Fields = append(m.Fields, bulk.Field{Name: name, Value: value})
		for item := range strings.SplitSeq(value, "<") {
			inner, _, closed := strings.Cut(item, ">")
			if address, err := mail.ParseAddress(inner); strings.EqualFold(name, "From") && closed && err == nil {
				m.From = append(m.From, address)
			}
		}
	}
	return m
}

func all(bulk.Rule) bool { return true }

func rules(findings []bulk.Finding) string {
	var names []string
	for _, f := range findings {
		names = append(names, string(f.Rule))
	}
	return strings.Join(names, " ")
}

// TestRules changes the good message in one place each, and names all that it
// then breaks.
func TestRules(t *testing.T) {
	long := "<p>" + strings.Repeat("All that is new. ", 102<<10/17+1) + "</p></body>"
	for _, test := range []struct{ name, old, replacement, want string }{
		{"good", "", "", ""},
		{"two mailboxes", "<news@shop.example>", "<news@shop.example>, <b@shop.example>", "from"},
		{"no mailbox", "<news@shop.example>", "", "from"},
		{"gmail", "news@shop.example", "shop@gmail.com", "impersonation dkim_alignment"},
		{"yahoo somewhere", "news@shop.example", "shop@yahoo.co.jp", "impersonation dkim_alignment"},
		{"no provider", "news@shop.example", "shop@notyahoo.example", "dkim_alignment"},
		{"below the key's domain", "news@shop.example", "a@b.shop.example", ""},
		{"two subjects", "Subject: news", "Subject: news\nsubject: more", "single_fields"},
		{"two To", "Subject: news", "To: b@example.net\nSubject: x", "single_fields"},
		{"empty and full Date", "Subject: news", "Date:\nSubject: x", "single_fields"},
		{"no Message-ID", "Message-ID: <1.2-x@shop.example>\n", "", ""},
		{"bare Message-ID", "<1.2-x@shop.example>", "1.2-x@shop.example", "message_id"},
		{"Message-ID without a domain", "<1.2-x@shop.example>", "<1.2-x>", "message_id"},
		{"Message-ID with a space", "<1.2-x@shop.example>", "<1 2@shop.example>", "message_id"},
		{"two in a Message-ID", "<1.2-x@shop.example>", "<1@shop.example> <2@shop.example>", "message_id"},
		{"no Date", "Date: Mon, 02 Jan 2006 15:04:05 -0700\n", "", ""},
		{"ISO Date", "Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T15:04:05Z", "date"},
		{"Date with a comment", "-0700\n", "-0700 (PDT)\n", ""},
		{"no one-click", "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n", "", "one_click"},
		{"one-click in other words", "=One-Click", "=Yes", "one_click"},
		{"one-click in another case", "=One-Click", "=one-click", ""},
		{"only mailto", ",\n <https://shop.example/u?x=1>", "", "one_click"},
		{"insecure", "<https://shop.example/u?x=1>", "<http://shop.example/u?x=1>", "one_click"},
		{"two URLs", "<https://shop.example/u?x=1>", "<https://shop.example/u>, <https://shop.example/v>", "one_click"},
		{"no brackets", "<https://shop.example/u?x=1>", "https://shop.example/u?x=1", "one_click"},
		{"URL without a host", "<https://shop.example/u?x=1>", "<https:///u>", "one_click"},
		{"two List-Unsubscribe", "List-Unsubscribe-Post", "List-Unsubscribe: <https://shop.example/w>\nList-Unsubscribe-Post", "one_click"},
		{"one part", "spring:shop:abcde", "abcde", ""},
		{"short sender", "spring:shop:abcde", "spring:shop:abcd", "feedback_id"},
		{"long sender", "spring:shop:abcde", "a:b:c:abcdefghijklmnop", "feedback_id"},
		{"five parts", "spring:shop:abcde", "a:b:c:d:abcde", "feedback_id"},
		{"space in Feedback-ID", "spring:shop:abcde", "spring sale:abcde", "feedback_id"},
		{"two Feedback-ID", "MIME-Version", "Feedback-ID: abcde\nMIME-Version", "feedback_id"},
		{"no Feedback-ID", "Feedback-ID: spring:shop:abcde\n", "", ""},
		{"no way out", "<a href=\"https://shop.example/u\">Unsubscribe</a>", "Bye.", "unsubscribe_link"},
		{"German way out", ">Unsubscribe<", ">Newsletter ABMELDEN<", ""},
		{"way out in Russian capitals", ">Unsubscribe<", ">ОТПИСАТЬСЯ<", ""},
		{"Japanese way out", "<a href=\"https://shop.example/u\">Unsubscribe</a>", "<a href=\"x\">配信停止</a>", ""},
		{"unknown way out", "utf-8\n\n<p>Hello. <a href=\"https://shop.example/u\">Unsubscribe</a></p>", "koi8-r\n\n<p>Hello</p>", ""},
		{"attached way out", "text/html; charset=utf-8\n", "text/html\nContent-Disposition: attachment\n", "unsubscribe_link"},
		{"broken MIME", "text/html; charset=utf-8", "multipart/mixed; boundary=b", ""},
		{"long HTML", "</p>\n", "</p>" + long + "\n", "html_size"},
		{"long plain text", "text/html; charset=utf-8\n\n", "text/plain\n\n" + long, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(good, test.old) {
				t.Fatal("nothing to change")
			}
			findings := bulk.Check(parse(t, strings.Replace(good, test.old, test.replacement, 1)), all)
			if got := rules(findings); got != test.want {
				t.Errorf("breaks %q, want %q: %+v", got, test.want, findings)
			}
			for _, f := range findings {
				if strings.Contains(f.Text, "@shop") || strings.Contains(f.Text, "@gmail") || len(f.Text) > 400 {
					t.Errorf("finding %q", f.Text)
				}
			}
		})
	}
}

// TestEncodedContent looks into transfer encodings and nested parts.
func TestEncodedContent(t *testing.T) {
	m := parse(t, "From: <a@shop.example>\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n--b\n"+
		"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPGEgaHJlZj0ieCI+VW5zdWJzY3JpYmU8L2E+\n--b--\n")
	only := func(r bulk.Rule) bool { return r == bulk.UnsubscribeLink }
	if got := bulk.Check(m, only); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	m.Octets = []byte(strings.Replace(string(m.Octets), "PGEgaHJlZj0ieCI+VW5zdWJzY3JpYmU8L2E+", "PHA+QnllPC9wPg==", 1))
	if got := bulk.Check(m, only); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestWhatTheStreamBringsAlong(t *testing.T) {
	m := parse(t, "From: <a@shop.example>\nSubject: x\n\nHello\n")
	only := func(r bulk.Rule) bool { return r == bulk.OneClick || r == bulk.Size }
	if got := rules(bulk.Check(m, only)); got != "one_click" {
		t.Error(got)
	}
	m.AddsUnsubscribe, m.MaxSize = true, int64(len(m.Octets))
	if got := rules(bulk.Check(m, only)); got != "" {
		t.Error(got)
	}
	m.Fields = append(m.Fields, bulk.Field{Name: "List-Unsubscribe", Value: "<https://shop.example/u>"})
	m.MaxSize--
	if got := rules(bulk.Check(m, only)); got != "one_click size" {
		t.Error(got, "where the author wrote half of it, nothing is added")
	}
	m.Aligned = nil
	if got := rules(bulk.Check(m, all)); !strings.HasPrefix(got, "dkim_alignment ") {
		t.Error(got)
	}
}

func TestLevels(t *testing.T) {
	if got := bulk.Levels(account.CheckOff, nil); got != nil {
		t.Error(got)
	}
	got := bulk.Levels(account.CheckEnforce, map[bulk.Rule]account.Check{bulk.Date: account.CheckOff, bulk.OneClick: account.CheckWarn})
	want := map[string]account.Check{}
	for _, r := range bulk.Rules() {
		want[string(r)] = account.CheckEnforce
	}
	delete(want, "date")
	want["one_click"], want["unsubscribe_link"], want["html_size"] = account.CheckWarn, account.CheckWarn, account.CheckWarn
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := bulk.Levels(account.CheckOff, map[bulk.Rule]account.Check{bulk.HTMLSize: account.CheckEnforce}); !maps.Equal(got, map[string]account.Check{"html_size": account.CheckEnforce}) {
		t.Errorf("%v", got)
	}
}

// TestCorpus holds real messages against the rules: whatever they are, findings
// come in the order of the rules and each once.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "mime", "eml", "*"))
	if err != nil || len(files) == 0 {
		t.Skip("no test material", err)
	}
	found := map[string]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := strings.Fields(checkAny(t, content))
		for _, name := range names {
			found[name]++
		}
	}
	if found["one_click"] < len(files)/2 || found["dkim_alignment"] == 0 {
		t.Errorf("of %d messages: %v", len(files), found)
	}
}

// checkAny holds octets against all rules and returns what they break.
func checkAny(t testing.TB, content []byte) string {
	t.Helper()
	m := parse(t, strings.ReplaceAll(string(content), "\r\n", "\n"))
	got := rules(bulk.Check(m, all))
	var sorted []string
	for _, r := range bulk.Rules() {
		if slices.Contains(strings.Fields(got), string(r)) {
			sorted = append(sorted, string(r))
		}
	}
	if got != strings.Join(sorted, " ") {
		t.Errorf("findings %s", got)
	}
	return got
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("From: <a@b>, <c@gmail.com>\nList-Unsubscribe: <https://x>, <\nMessage-ID: <@>\nFeedback-ID: :::::\n\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n=\n--b--"))
	f.Fuzz(func(t *testing.T, content []byte) { checkAny(t, content) })
}

// corpus returns the folder of test material.
func corpus(t *testing.T) string {
	t.Helper()
	if root := os.Getenv("POSTRIDER_CORPUS"); root != "" {
		return root
	}
	return filepath.Join("..", "..", "..", "..", "shared", "corpus")
}
