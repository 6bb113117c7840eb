package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// corpusDomain signs what the corpus holds, whoever wrote it.
const corpusDomain = "corpus.example"

// specimen is one message of the corpus.
type specimen struct {
	name    string
	message []byte
	// signable says that independent tools could sign and verify it.
	signable bool
	id       string
}

// corpus reads every message and template, or skips.
func corpus(t testing.TB) []*specimen {
	t.Helper()
	root := os.Getenv("POSTRIDER_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	folder := filepath.Join(root, "mime")
	inventory, err := os.Open(filepath.Join(folder, "eml-inventory.jsonl"))
	if err != nil {
		t.Skipf("no messages to send in %s (POSTRIDER_CORPUS names another folder)", folder)
	}
	defer inventory.Close()
	var all []*specimen
	lines := bufio.NewScanner(inventory)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		all = append(all, readSpecimen(t, folder, lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob(filepath.Join(folder, "html", "*.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range templates {
		html, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &specimen{name: filepath.Base(file), message: wrap(html), signable: true})
	}
	return all
}

func readSpecimen(t testing.TB, folder string, line []byte) *specimen {
	t.Helper()
	var entry struct {
		File     string `json:"file"`
		BareCR   bool   `json:"bare_cr"`
		Baseline struct {
			Signable *bool `json:"dkimpy_sign_then_dkimpy_verify"`
		} `json:"dkim_baseline"`
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		t.Fatal(err)
	}
	message, err := os.ReadFile(filepath.Join(folder, "eml", entry.File))
	if err != nil {
		t.Fatal(err)
	}
	signable := entry.Baseline.Signable != nil && *entry.Baseline.Signable && !entry.BareCR
	return &specimen{name: entry.File, message: message, signable: signable}
}

// wrap makes a message of an HTML document.
func wrap(html []byte) []byte {
	return append([]byte("From: "+sender+"\r\nTo: a reader\r\nSubject: A template\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"), html...)
}

func TestEveryCorpusMessageIsAnsweredDeliveredAndSigned(t *testing.T) {
	t.Parallel()
	all := corpus(t)
	w := newWorld(t)
	w.tolerated = "line longer than 998 octets" // checkSpecimen looks whose
	modern := w.domain("modern.example", testmx.Options{})
	old := w.domain("old.example", testmx.Options{Without: testmx.Extensions{EightBitMIME: true, SMTPUTF8: true, Chunking: true}})
	keys := w.signs(corpusDomain)
	w.start(settings{rest: keys + "[[tenant]]\nname = \"default\"\ndkim_domain = \"" + corpusDomain + "\"\n"})

	refusals := w.submitCorpus(all)
	w.settled()
	counts := map[string]int{}
	ends := w.ends()
	for name, server := range map[string]*testmx.Server{"modern": modern, "old": old} {
		received := byID(t, server.Messages())
		for _, s := range all {
			if s.id != "" {
				counts[name+" "+w.checkSpecimen(s, received[s.id], ends[s.id+name+".example"])]++
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(refusals)) {
		t.Logf("%3d refused: %s", refusals[reason], reason)
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%3d %s", counts[what], what)
	}
	accepted := 0
	for _, s := range all {
		if s.id != "" {
			accepted++
		}
	}
	t.Logf("%d messages and templates, %d accepted for two recipients each, 0 lost", len(all), accepted)
}

// submitCorpus hands everything in and counts the refusals by their text. A
// refusal of what others could sign must say what is wrong.
func (w *world) submitCorpus(all []*specimen) map[string]int {
	w.Helper()
	refusals := map[string]int{}
	c := w.connect()
	for _, s := range all {
		message := append([]byte("X-Postrider-Stream: marketing\r\n"), s.message...)
		id, err := c.send(sender, []string{"reader@modern.example", "reader@old.example"}, message)
		s.id = id
		switch code := replyCode(err); {
		case err == nil:
		case code == 550 || code == 554:
			refusals[err.Error()]++
		default:
			w.Fatalf("%s: %v", s.name, err)
		}
	}
	return refusals
}

// ends are the final events by message and recipient domain.
func (w *world) ends() map[string]event.Event {
	w.Helper()
	ends := map[string]event.Event{}
	open := -1
	w.await("all have ended", func() bool {
		open = 0
		for _, e := range w.events() {
			switch {
			case e.Type == event.Accepted:
				open++
			case final(e.Type):
				open--
				ends[e.Message+e.Recipient[strings.LastIndexByte(e.Recipient, '@')+1:]] = e
			}
		}
		return open == 0
	})
	return ends
}

// receivedID is the queue id in the Received line in front.
var receivedID = regexp.MustCompile(`(?s)^.*?Received:.*?\sid ([0-9a-z]+)`)

func byID(t testing.TB, messages []*testmx.Message) map[string]*testmx.Message {
	t.Helper()
	all := map[string]*testmx.Message{}
	for _, m := range messages {
		id := receivedID.FindSubmatch(m.Data)
		if id == nil {
			t.Fatalf("a message without an id in Received: %.300q", m.Data)
		}
		if all[string(id[1])] != nil {
			t.Errorf("message %s came twice", id[1])
		}
		all[string(id[1])] = m
	}
	return all
}

// checkSpecimen returns what became of an accepted message at one of the
// exchangers, in words.
func (w *world) checkSpecimen(s *specimen, m *testmx.Message, end event.Event) string {
	if m == nil {
		if end.Type != event.Bounced || end.Reason == "" {
			w.Errorf("%s: neither arrived nor failed with a reason: %s", s.name, end.Type)
		}
		return "failed here: " + end.Reason
	}
	if end.Type != event.Delivered {
		w.Errorf("%s: arrived, and is %s", s.name, end.Type)
	}
	if longLine(m.Data) && !longLine(crlf(s.message)) {
		w.Errorf("%s: a line has grown beyond 998 octets", s.name)
	}
	good, bad, err := w.signatures(corpusDomain, m.Data)
	switch {
	case bad > 0:
		w.Errorf("%s: %d signatures do not verify: %v", s.name, bad, err)
	case s.signable && good != 2:
		w.Errorf("%s: others can sign it, and it has %d good signatures (%v)", s.name, good, err)
	}
	tracked := "untouched"
	if bytes.Contains(m.Data, []byte(w.tracker)) {
		tracked = "tracked"
	}
	return fmt.Sprintf("arrived %s with %d good signatures", tracked, good)
}

func longLine(message []byte) bool {
	for line := range bytes.Lines(message) {
		if len(line) > 998+len("\r\n") {
			return true
		}
	}
	return false
}
