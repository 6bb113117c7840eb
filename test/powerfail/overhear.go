package powerfail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// mark is the header field by which whoever speaks to the daemon numbers what
// they ask for, in mail as in HTTP.
const mark = "X-Word: "

// overhear replaces what a daemon heard and said by the words that it amounts
// to: a request begins where its mark was read, and is promised where the
// answer began to be written. Requests are the words of those who asked, by
// number.
func overhear(steps []disk.Step, requests map[int]word, lastNumber int) ([]disk.Step, error) {
	e := &ear{requests: requests, last: lastNumber, talks: map[int64]*talk{}}
	for i, s := range steps {
		if s.Action != disk.Heard && s.Action != disk.Said {
			continue
		}
		t := e.talks[s.Offset]
		if t == nil {
			t = &talk{}
			e.talks[s.Offset] = t
		}
		e.words = nil
		err := e.listen(t, s)
		if err == nil && len(e.words) > 0 {
			steps[i], err = note(e.words)
		}
		if err != nil {
			return nil, fmt.Errorf("overheard in step %d: %w", i, err)
		}
	}
	return steps, nil
}

func note(words []word) (disk.Step, error) {
	s := disk.Step{Action: disk.Note}
	for _, w := range words {
		line, err := json.Marshal(w)
		if err != nil {
			return s, err
		}
		s.Data = append(append(s.Data, line...), '\n')
	}
	return s, nil
}

// ear listens to all connections.
type ear struct {
	requests map[int]word
	// last is the highest number given to a word.
	last  int
	talks map[int64]*talk
	// words are what the step at hand amounts to.
	words []word
}

func (e *ear) say(w word) { e.words = append(e.words, w) }

// unasked says what nobody asked for.
func (e *ear) unasked(w word) {
	e.last++
	w.Number = e.last
	e.say(w)
}

// talk is one connection.
type talk struct {
	kind talkKind
	// request is the number of the one to be answered; 0 for none.
	request int
	// unread is what is not understood yet.
	unread []byte
	remote *remote
}

type talkKind int

const (
	unknown    talkKind = iota
	submission          // of mail, over SMTP
	requesting          // over HTTP
	following           // of the events, over HTTP
	sending             // of mail, over SMTP
)

// introduce finds out what a connection is for by its first words.
func introduce(s disk.Step) talkKind {
	greets := bytes.HasPrefix(s.Data, []byte("220 "))
	switch {
	case greets && s.Action == disk.Said:
		return submission
	case greets:
		return sending
	case bytes.HasPrefix(s.Data, []byte("GET "+eventsPath)):
		return following
	}
	return requesting
}

func (e *ear) listen(t *talk, s disk.Step) error {
	if t.kind == unknown {
		if t.kind = introduce(s); t.kind == sending {
			t.remote = &remote{answered: func(address string, code int) error { return e.answered(address, code) }}
		}
	}
	heard := s.Action == disk.Heard
	switch {
	case t.kind == sending && heard:
		return t.remote.hear(s.Data)
	case t.kind == sending:
		return t.remote.say(s.Data)
	case t.kind == following && !heard:
		return e.told(t, s.Data)
	case t.kind == following:
		return nil
	case heard:
		return e.request(t, s.Data)
	}
	e.answer(t, s.Data)
	return nil
}

// request looks for a mark in what was heard.
func (e *ear) request(t *talk, data []byte) error {
	if t.request != 0 {
		return nil
	}
	t.unread = append(t.unread, data...)
	_, after, found := bytes.Cut(t.unread, []byte(mark))
	text, _, whole := bytes.Cut(after, []byte("\r\n"))
	if !found || !whole {
		return nil
	}
	n, err := strconv.Atoi(string(text))
	w, known := e.requests[n]
	if err != nil || !known {
		return fmt.Errorf("%w: request %q", errAnnouncement, text)
	}
	t.request, t.unread = n, nil
	e.say(w)
	return nil
}

// answer looks for the promise in what was said.
func (e *ear) answer(t *talk, data []byte) {
	done := bytes.Contains(data, []byte(queuedAs))
	if t.kind == requesting {
		done = bytes.HasPrefix(data, []byte("HTTP/1.1 2")) || bytes.HasPrefix(data, []byte("HTTP/1.1 3"))
	}
	if t.request == 0 || !done {
		return
	}
	e.say(word{Number: t.request, Done: true})
	t.request = 0
}

// told reads events, one a line, behind the header of an answer.
func (e *ear) told(t *talk, data []byte) error {
	t.unread = append(t.unread, data...)
	for {
		line, rest, whole := bytes.Cut(t.unread, []byte("\n"))
		if !whole {
			return nil
		}
		t.unread = rest
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var r api.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Event.Type == event.RateExceeded {
			continue // it is about nobody's mail
		}
		e.unasked(word{Kind: wordTold, Position: r.Position, Events: []event.Event{r.Event}})
	}
}

func (e *ear) answered(address string, code int) error {
	a, err := mail.ParseAddress(strings.Trim(address, "<>"))
	if err != nil {
		return err
	}
	e.unasked(word{Kind: wordAnswer, Address: a, Code: code})
	return nil
}
