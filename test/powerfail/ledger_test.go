package powerfail

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// story is a message to two readers, of which one gets it and one is deferred.
type story struct {
	ledger              *ledger
	message             *queue.Message
	recipients          []mail.Recipient
	delivered, deferred event.Event
	accepted            [2]event.Event
}

// The moments of a story: each call begins and is done one step later.
const (
	acceptBegun = iota + 10
	acceptDone
	settleBegun
	settleDone
	deferBegun
	deferDone
	theEnd
)

func newStory(t *testing.T) *story {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &story{ledger: newLedger(), message: &queue.Message{ID: queue.NewID(now), Tenant: "shop", HeaderFrom: "shop.example", Metadata: json.RawMessage(`{}`), Accepted: now, Size: 400}}
	for i, text := range []string{"ann@example.com", "bob@example.com"} {
		a, err := mail.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		s.recipients = append(s.recipients, mail.Recipient{Address: a})
		s.accepted[i] = queue.AcceptedEvent(s.message, i, a)
	}
	s.delivered = s.delivery(0).Event(event.Delivered, now)
	s.deferred = s.delivery(1).Event(event.Deferred, now)
	s.deferred.NextAttempt = now.Add(time.Minute)
	var steps []disk.Step
	for range acceptBegun {
		steps = append(steps, disk.Step{Action: disk.Sync})
	}
	for _, w := range []word{
		{Number: 1, Kind: wordAccept, Message: s.message, Recipients: s.recipients},
		{Number: 1, Done: true},
		{Number: 2, Kind: wordSettle, Events: []event.Event{s.delivered}},
		{Number: 2, Done: true},
		{Number: 3, Kind: wordDefer, Events: []event.Event{s.deferred}},
		{Number: 3, Done: true},
	} {
		data, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, disk.Step{Action: disk.Note, Data: data})
	}
	steps = append(steps, disk.Step{Action: disk.Sync})
	if err := s.ledger.readSteps(steps, len(steps), func(step int) int { return step }); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *story) delivery(index int) *queue.Delivery {
	return &queue.Delivery{Message: s.message, Index: index, Recipient: s.recipients[index]}
}

func (s *story) entry(index int) queue.Entry {
	return queue.Entry{Message: s.message, Index: index, Recipient: s.recipients[index], Due: s.message.Accepted}
}

func (s *story) deferredEntry() queue.Entry {
	e := s.entry(1)
	e.Attempts, e.Due, e.Last = 1, s.deferred.NextAttempt, &s.deferred
	return e
}

func observe(entries []queue.Entry, events ...event.Event) *observation {
	seen := &observation{entries: entries}
	for i, e := range events {
		seen.events = append(seen.events, event.Record{Position: uint64(i + 1), Event: e})
	}
	return seen
}

// TestInspectPasses holds that what may be is not complained of.
func TestInspectPasses(t *testing.T) {
	s := newStory(t)
	both := []queue.Entry{s.entry(0), s.entry(1)}
	for name, tc := range map[string]struct {
		at   int
		seen *observation
	}{
		"before all":                  {acceptBegun, observe(nil)},
		"accept begun, not there":     {acceptBegun + 1, observe(nil)},
		"accept begun, there":         {acceptBegun + 1, observe(both, s.accepted[:]...)},
		"accepted":                    {acceptDone + 1, observe(both, s.accepted[:]...)},
		"settle begun, not there":     {settleBegun + 1, observe(both, s.accepted[:]...)},
		"settle begun, there":         {settleBegun + 1, observe(both[1:], s.accepted[0], s.accepted[1], s.delivered)},
		"settled":                     {settleDone + 1, observe(both[1:], s.accepted[0], s.accepted[1], s.delivered)},
		"settled, defer begun, there": {deferBegun + 1, observe([]queue.Entry{s.deferredEntry()}, s.accepted[0], s.accepted[1], s.delivered, s.deferred)},
		"all":                         {theEnd, observe([]queue.Entry{s.deferredEntry()}, s.accepted[0], s.accepted[1], s.delivered, s.deferred)},
	} {
		if findings := s.ledger.inspect(tc.at, tc.seen); len(findings) > 0 {
			t.Errorf("%s: %v", name, findings)
		}
	}
	for at, want := range map[int]int{acceptBegun: 0, acceptDone: 0, acceptDone + 1: 2, settleDone + 1: 3, theEnd: 4} {
		if got := s.ledger.acknowledged(at); got != want {
			t.Errorf("%d acknowledged at %d instead of %d", got, at, want)
		}
	}
}

// TestInspectFinds holds that each thing that must not be is found.
func TestInspectFinds(t *testing.T) {
	s := newStory(t)
	both := []queue.Entry{s.entry(0), s.entry(1)}
	all := []event.Event{s.accepted[0], s.accepted[1], s.delivered, s.deferred}
	changed := s.delivered
	changed.Reason = "otherwise"
	opened := s.delivered
	opened.ID, opened.Type = "never", event.Opened
	other := *s.message
	other.Tenant = "bank"
	strange := s.entry(0)
	strange.Message = &other
	late := s.deferredEntry()
	late.Due = late.Due.Add(time.Second)
	swapped := s.entry(0)
	swapped.Recipient = s.recipients[1]
	bodiless := observe(both, s.accepted[:]...)
	bodiless.bodies = map[queue.ID]error{s.message.ID: errors.New("gone")}
	rewritten := observe(both, s.accepted[:]...)
	rewritten.changed = []queue.ID{s.message.ID}
	backward := observe(both, s.accepted[:]...)
	backward.events[1].Position = 1
	for name, tc := range map[string]struct {
		at   int
		seen *observation
		want fault
	}{
		"accepted, not there":           {acceptDone + 1, observe(nil), lost},
		"half accepted":                 {acceptBegun + 1, observe(both[:1], s.accepted[0]), wrong},
		"accepted, not yet told":        {acceptDone + 1, observe(both, s.accepted[0]), lost},
		"told, not there":               {acceptBegun + 1, observe(nil, s.accepted[0]), lost},
		"before it was accepted":        {acceptBegun, observe(both), phantom},
		"told before it was accepted":   {acceptBegun, observe(nil, s.accepted[0]), phantom},
		"settled and owed":              {settleDone + 1, observe(both, s.accepted[:]...), lost},
		"settled, event lost":           {settleDone + 1, observe(both[1:], s.accepted[:]...), lost},
		"delivered and owed":            {settleBegun + 1, observe(both, s.accepted[0], s.accepted[1], s.delivered), phantom},
		"delivered before it was":       {settleBegun, observe(both[1:], s.accepted[0], s.accepted[1], s.delivered), phantom},
		"event twice":                   {theEnd, observe([]queue.Entry{s.deferredEntry()}, append(slices.Clone(all), s.delivered)...), phantom},
		"event of nothing":              {theEnd, observe([]queue.Entry{s.deferredEntry()}, append(slices.Clone(all), opened)...), phantom},
		"event changed":                 {settleBegun + 1, observe(both[1:], s.accepted[0], s.accepted[1], changed), wrong},
		"deferral lost":                 {theEnd, observe(both[1:], all[:3]...), lost},
		"deferral without its attempt":  {theEnd, observe(both[1:], all...), wrong},
		"attempt without deferral":      {deferBegun + 1, observe([]queue.Entry{s.deferredEntry()}, all[:3]...), wrong},
		"due at another time":           {theEnd, observe([]queue.Entry{late}, all...), wrong},
		"message changed":               {acceptDone + 1, observe([]queue.Entry{strange, both[1]}, s.accepted[:]...), wrong},
		"another's recipient":           {acceptDone + 1, observe([]queue.Entry{swapped, both[1]}, s.accepted[:]...), wrong},
		"owed twice":                    {acceptDone + 1, observe([]queue.Entry{both[0], both[0], both[1]}, s.accepted[:]...), phantom},
		"body lost":                     {acceptDone + 1, bodiless, lost},
		"body changed":                  {acceptDone + 1, rewritten, wrong},
		"positions that do not grow":    {acceptDone + 1, backward, wrong},
		"ended, accepted event missing": {settleDone + 1, observe(both[1:], s.accepted[1], s.delivered), lost},
	} {
		findings := s.ledger.inspect(tc.at, tc.seen)
		if !slices.ContainsFunc(findings, func(f finding) bool { return f.fault == tc.want }) {
			t.Errorf("%s: %v and nothing %s", name, findings, tc.want)
		}
	}
}

// TestSecondLife holds that what an earlier life left open stays open, and what
// it acknowledged must be there.
func TestSecondLife(t *testing.T) {
	s := newStory(t)
	own := s.ledger.copy()
	again := s.delivered
	again.Reason = "told again"
	if err := own.enter(word{Number: 4, Kind: wordSettle, Events: []event.Event{again}}, theEnd); err != nil {
		t.Fatal(err)
	}
	if got := own.events[again.ID].encoded; len(got) != 2 {
		t.Errorf("%d forms of one event", len(got))
	}
	if got := s.ledger.events[again.ID].encoded; len(got) != 1 {
		t.Error("the copy is not a copy")
	}
	if own.lastNumber() != 4 || s.ledger.lastNumber() != 3 {
		t.Errorf("numbers up to %d and %d", own.lastNumber(), s.ledger.lastNumber())
	}
}

// TestHolds holds that a hold is in force from its acknowledgement to that of
// its release, and never outside of the calls.
func TestHolds(t *testing.T) {
	s := newStory(t)
	h := queue.Hold{ID: queue.NewID(time.Now()), Selector: queue.Selector{Message: s.message.ID}, Reason: "because"}
	for i, w := range []word{
		{Number: 4, Kind: wordHold, Selector: selector(h.Selector), Hold: h.ID, Reason: h.Reason},
		{Number: 4, Done: true},
		{Number: 5, Kind: wordFree, Hold: h.ID},
		{Number: 5, Done: true},
	} {
		if err := s.ledger.enter(w, theEnd+i); err != nil {
			t.Fatal(err)
		}
	}
	changed := h
	changed.Selector.Tenant = "bank"
	for name, tc := range map[string]struct {
		at   int
		seen []queue.Hold
		want fault
	}{
		"before":                  {theEnd, []queue.Hold{h}, phantom},
		"not yet":                 {theEnd, nil, ""},
		"begun, not there":        {theEnd + 1, nil, ""},
		"begun, there":            {theEnd + 1, []queue.Hold{h}, ""},
		"acknowledged, lost":      {theEnd + 2, nil, lost},
		"acknowledged":            {theEnd + 2, []queue.Hold{h}, ""},
		"acknowledged, changed":   {theEnd + 2, []queue.Hold{changed}, wrong},
		"release begun, there":    {theEnd + 3, []queue.Hold{h}, ""},
		"release begun, released": {theEnd + 3, nil, ""},
		"released, there":         {theEnd + 4, []queue.Hold{h}, lost},
		"released":                {theEnd + 4, nil, ""},
	} {
		seen := observe([]queue.Entry{s.deferredEntry()}, s.accepted[0], s.accepted[1], s.delivered, s.deferred)
		seen.holds = tc.seen
		findings := s.ledger.inspect(tc.at, seen)
		if tc.want == "" && len(findings) > 0 || tc.want != "" && (len(findings) != 1 || findings[0].fault != tc.want) {
			t.Errorf("%s: %v instead of %q", name, findings, tc.want)
		}
	}
}

func TestLedgerRefuses(t *testing.T) {
	s := newStory(t)
	for name, w := range map[string]word{
		"done without a beginning": {Number: 99, Done: true},
		"no kind":                  {Number: 9},
		"accepted twice":           {Number: 9, Kind: wordAccept, Message: s.message},
		"cancel of nothing":        {Number: 9, Kind: wordCancel, Selector: selector{Message: queue.NewID(time.Now())}},
	} {
		if err := s.ledger.enter(w, theEnd); !errors.Is(err, errAnnouncement) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
