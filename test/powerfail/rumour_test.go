package powerfail

import (
	"errors"
	"slices"
	"testing"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// overheardStory is the story of a message that a daemon took: the remote
// server's answer, the event that somebody was told, an unsubscription, an
// erasure.
func overheardStory(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	*s.ledger = *newLedger()
	at := acceptBegun
	for _, w := range []word{
		{Number: 1, Kind: wordAccept, Message: s.message, Recipients: s.recipients, Content: []byte("the end\r\n")},
		{Number: 1, Done: true},
		{Number: 2, Kind: wordAnswer, Address: s.recipients[0].Address, Code: 250},
		{Number: 3, Kind: wordTold, Position: 1, Events: []event.Event{s.accepted[0]}},
		{Number: 4, Kind: wordTold, Position: 3, Events: []event.Event{s.delivered}},
		{Number: 5, Kind: wordErase, Tenant: "shop", Address: s.recipients[0].Address},
		{Number: 5, Done: true},
	} {
		if err := s.ledger.enter(w, at); err != nil {
			t.Fatal(err)
		}
		at++
	}
	return s
}

// The moments of an overheard story, after acceptDone.
const (
	taken = iota + acceptDone + 1
	acceptedTold
	deliveredTold
	eraseBegun
	eraseDone
)

func erased(e event.Event) event.Event {
	e.Recipient, e.Metadata = "x@anonymous.invalid", nil
	return e
}

func TestInspectOverheard(t *testing.T) {
	s := overheardStory(t)
	both := []queue.Entry{s.entry(0), s.entry(1)}
	told := []event.Event{s.accepted[0], s.accepted[1], s.delivered}
	gone := []event.Event{erased(s.accepted[0]), s.accepted[1], erased(s.delivered)}
	only := s.ledger.barriers[0]
	for name, tc := range map[string]struct {
		at     int
		seen   *observation
		barred bool
		want   fault
	}{
		"accepted":                         {taken, observe(both, s.accepted[:]...), false, ""},
		"delivered before it was taken":    {taken, observe(both[1:], told...), false, phantom},
		"delivered, not told":              {acceptedTold, observe(both[1:], told...), false, ""},
		"taken, not settled":               {acceptedTold, observe(both, s.accepted[:]...), false, ""},
		"accepted event told and lost":     {deliveredTold, observe(both, s.accepted[1]), false, lost},
		"delivered, told":                  {deliveredTold + 1, observe(both[1:], told...), false, ""},
		"delivered, told, lost":            {deliveredTold + 1, observe(both, s.accepted[:]...), false, lost},
		"erased before":                    {eraseBegun, observe(both[1:], gone...), false, wrong},
		"erasing":                          {eraseBegun + 1, observe(both[1:], gone...), false, ""},
		"erasing, not yet":                 {eraseBegun + 1, observe(both[1:], told...), false, ""},
		"erased":                           {eraseDone + 1, observe(both[1:], gone...), true, ""},
		"erased, named all the same":       {eraseDone + 1, observe(both[1:], told...), true, lost},
		"erased, and may be mailed":        {eraseDone + 1, observe(both[1:], gone...), false, lost},
		"barred before anybody asked":      {eraseBegun, observe(both[1:], told...), true, phantom},
		"erased, told of at another place": {eraseDone + 1, observe(both[1:], gone[1], gone[0], gone[2]), true, wrong},
	} {
		if len(tc.seen.events) > 1 {
			tc.seen.events[len(tc.seen.events)-1].Position = 3
		}
		tc.seen.barred = map[*barrier]bool{only: tc.barred}
		findings := s.ledger.inspect(tc.at, tc.seen)
		found := slices.ContainsFunc(findings, func(f finding) bool { return f.fault == tc.want })
		if tc.want == "" && len(findings) > 0 || tc.want != "" && !found {
			t.Errorf("%s: %v instead of %q", name, findings, tc.want)
		}
	}
	if got := s.ledger.copy().acknowledged(eraseDone + 1); got != 2+2+1 {
		t.Errorf("%d acknowledged", got)
	}
	seen := observe(both[1:], gone...)
	seen.events[2].Position = 3
	seen.barred, seen.residue = map[*barrier]bool{only: true}, []string{"2026-03-01.db"}
	if findings := s.ledger.inspect(eraseDone+1, seen); len(findings) != 1 || findings[0].fault != lost {
		t.Errorf("what an erasure left: %v", findings)
	}
}

// An event may be heard of only after its person was erased: before, it named
// them all the same.
func TestHeardOfAfterTheErasure(t *testing.T) {
	s := overheardStory(t)
	both := []queue.Entry{s.entry(0), s.entry(1)}
	s.ledger.events[s.delivered.ID].encoded = nil
	w := word{Number: 6, Kind: wordTold, Position: 3, Events: []event.Event{erased(s.delivered)}}
	if err := s.ledger.enter(w, eraseDone+1); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]int{eraseBegun: 0, eraseBegun + 1: 0, eraseDone + 2: 2} {
		seen := observe(both[1:], s.accepted[0], s.accepted[1], s.delivered)
		seen.events[2].Position = 3
		seen.barred = map[*barrier]bool{s.ledger.barriers[0]: at > eraseDone}
		if findings := s.ledger.inspect(at, seen); len(findings) != want {
			t.Errorf("at %d: %v instead of %d", at, findings, want)
		}
	}
}

func TestBodyOfOverheard(t *testing.T) {
	m := overheardStory(t).ledger.messages
	for _, one := range m {
		for body, want := range map[string]bool{"Received: x\r\nthe end\r\n": true, "the end\r\n\r\n": false, "": false} {
			if one.intact([]byte(body), int64(len(body))) != want {
				t.Errorf("%q is intact: %t", body, !want)
			}
		}
		if one.intact([]byte("the end\r\n"), 400) {
			t.Error("a body of another length is intact")
		}
	}
}

func TestOverheardRefuses(t *testing.T) {
	s := overheardStory(t)
	unread := s.delivered
	unread.ID, unread.Type = "click", event.Clicked
	other := s.delivered
	other.Index = 1
	strange := s.delivered
	strange.Message = queue.NewID(s.message.Accepted).String()
	for name, w := range map[string]word{
		"delivered and not taken":     {Kind: wordTold, Position: 9, Events: []event.Event{other}},
		"of a message of nobody's":    {Kind: wordTold, Position: 9, Events: []event.Event{strange}},
		"click that nobody made":      {Kind: wordTold, Position: 9, Events: []event.Event{unread}},
		"told twice, in other places": {Kind: wordTold, Position: 9, Events: []event.Event{s.delivered}},
		"told of nothing":             {Kind: wordTold},
	} {
		if err := s.ledger.enter(w, theEnd); !errors.Is(err, errAnnouncement) {
			t.Errorf("%s: %v", name, err)
		}
	}
	click := word{Number: 9, Kind: wordRead, Events: []event.Event{{Message: s.message.ID.String(), Type: event.Clicked}}}
	if err := errors.Join(s.ledger.enter(click, theEnd), s.ledger.enter(word{Number: 10, Kind: wordTold, Position: 9, Events: []event.Event{unread}}, theEnd+1)); err != nil {
		t.Errorf("a click: %v", err)
	}
	if h := s.ledger.events["click"]; h.promises[0].possible(theEnd) || !h.promises[0].possible(theEnd+1) || h.promises[0].certain(theEnd+1) {
		t.Errorf("a click happened at %+v", *h.promises[0])
	}
}

func TestRetriedMayBeDueEarlier(t *testing.T) {
	s := newStory(t)
	soon := s.deferredEntry()
	soon.Due = soon.Due.Add(-30_000_000_000)
	retry := word{Number: 4, Kind: wordRetry, Selector: selector{Domain: mail.Domain("example.com")}}
	seen := observe([]queue.Entry{soon}, s.accepted[0], s.accepted[1], s.delivered, s.deferred)
	if findings := s.ledger.inspect(theEnd+1, seen); len(findings) != 1 || findings[0].fault != wrong {
		t.Errorf("due too early: %v", findings)
	}
	if err := s.ledger.enter(retry, theEnd); err != nil {
		t.Fatal(err)
	}
	if findings := s.ledger.inspect(theEnd+1, seen); len(findings) > 0 {
		t.Errorf("retried: %v", findings)
	}
	if findings := s.ledger.inspect(theEnd, seen); len(findings) == 0 {
		t.Error("due early before it was retried")
	}
}
