package powerfail

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// overheard turns lines such as "3 > text" and "3 < text", said and heard on
// connection 3, into words, one a line.
func overheard(t testing.TB, requests map[int]word, lines ...string) ([]string, error) {
	t.Helper()
	var steps []disk.Step
	for _, line := range lines {
		var connection int64
		var way string
		if _, err := fmt.Sscanf(line, "%d %s", &connection, &way); err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(line, way+" ")
		s := disk.Step{Action: disk.Heard, Offset: connection, Data: []byte(strings.ReplaceAll(text, "|", "\r\n"))}
		if way == ">" {
			s.Action = disk.Said
		}
		steps = append(steps, s)
	}
	steps, err := overhear(steps, requests, 100)
	var words []string
	for i, s := range steps {
		if s.Action != disk.Note {
			continue
		}
		for d := json.NewDecoder(bytes.NewReader(s.Data)); d.More(); {
			var w word
			if err := d.Decode(&w); err != nil {
				t.Fatal(err)
			}
			words = append(words, strings.TrimSpace(fmt.Sprintf("%d: %d %s %d %s", i, w.Number, cmp.Or(w.Kind, "done"), w.Code, w.Address)))
		}
	}
	return words, err
}

func TestOverhear(t *testing.T) {
	requests := map[int]word{7: {Number: 7, Kind: wordRetry}, 8: {Number: 8, Kind: wordRetry}, 9: {Number: 9, Kind: wordRetry}}
	told := `{"position":"5","event":{"id":"a","type":"delivered","time":"2026-01-01T00:00:00Z","message":"m","index":0}}`
	for name, tc := range map[string]struct {
		lines []string
		want  []string
	}{
		"mail": {
			[]string{
				"1 > 220 mail.example|", "1 < EHLO x|", "1 > 250 hello|", "1 < MAIL FROM:<a@b>|DATA|", "1 > 250 ok|354 go|",
				"1 < X-Wo", "1 < rd: 7|From: a@b||text|", "1 < .|", "1 > 250 2.0.0 queued as abc|", "1 < X-Word: 8|.|", "1 > 452 4.3.1 full|",
			},
			[]string{"6: 7 retry 0", "8: 7 done 0", "9: 8 retry 0"},
		},
		"requests on one connection": {
			[]string{
				"1 < GET /c/x HTTP/1.1|X-Word: 7||", "2 < POST /v1/cancel HTTP/1.1|Host: x|X-Word: 8||{}", "1 > HTTP/1.1 302 Found||",
				"2 > HTTP/1.1 500 no||", "1 < GET /o HTTP/1.1|X-Word: 9||", "1 > HTTP/1.1 200 OK||body", "1 > more",
			},
			[]string{"0: 7 retry 0", "1: 8 retry 0", "2: 7 done 0", "4: 9 retry 0", "5: 9 done 0"},
		},
		"events": {
			[]string{"1 < GET /v1/events?after=0 HTTP/1.0||", "1 > HTTP/1.0 200 OK||" + told[:20], "1 > " + told[20:] + "\n"},
			[]string{"2: 101 told 0"},
		},
		"content and its answer": {
			[]string{
				"3 < 220 mx|", "3 > EHLO me|", "3 < 250-mx|250 PIPELINING|", "3 > MAIL FROM:<a@b> SIZE=1|RCPT TO:<c@d.example>|RCPT TO:<e@d.example> NOTIFY=NEVER|DATA|",
				"3 < 250 ok|250 ok|451 4.2.1 la", "3 < ter|354 go|", "3 > text|.", "3 > |MAIL FROM:<a@b>|RCPT TO:<f@d.example>|DATA|", "3 < 250 taken|",
				"3 < 250 ok|550 no|503 none|", "3 > QUIT|", "3 < 221 bye|421 gone|",
			},
			[]string{"5: 101 answer 451 e@d.example", "8: 102 answer 250 c@d.example", "9: 103 answer 550 f@d.example"},
		},
		"chunks": {
			[]string{
				"3 < 220 mx|", "3 > EHLO me|", "3 < 250 mx|", "3 > MAIL FROM:<>|RCPT TO:<c@d.example>|BDAT 6|DATA|BDAT 5 LAST|.", "3 > |.|RSET|",
				"3 < 250 ok|250 ok|250 chunk|452 full|250 reset|",
			},
			[]string{"5: 101 answer 452 c@d.example"},
		},
	} {
		got, err := overheard(t, requests, tc.lines...)
		if err != nil || strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
			t.Errorf("%s: %v, %q instead of %q", name, err, got, tc.want)
		}
	}
	if _, err := overheard(t, requests, "1 < GET / HTTP/1.1|X-Word: 55||"); !errors.Is(err, errAnnouncement) {
		t.Errorf("a request that nobody made: %v", err)
	}
}

// FuzzRemote holds that no dialogue makes its reader fail otherwise than by an
// error.
func FuzzRemote(f *testing.F) {
	f.Add("MAIL FROM:<a>\r\nRCPT TO:<b@c>\r\nDATA\r\n", "220 x\r\n250 a\r\n250 b\r\n354 c\r\n", "x\r\n.\r\n", "250 d\r\n")
	f.Add("BDAT 5 LAST\r\n12", "220\r\n", "345RSET\r\n", "5\r\n")
	f.Fuzz(func(t *testing.T, said, heard, then, last string) {
		r := &remote{answered: func(string, int) error { return nil }}
		for _, err := range []error{r.say([]byte(said)), r.hear([]byte(heard)), r.say([]byte(then)), r.hear([]byte(last))} {
			if err != nil {
				return
			}
		}
		if r.chunk < 0 {
			t.Error("less than nothing is to be said")
		}
	})
}
