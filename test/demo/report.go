package main

import (
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// report is what the demonstration found.
type report struct {
	messages   []message
	dkimPass   int
	signatures int
	leaver     string
	tally      *tally
}

func (r *report) say(what string, after time.Duration) {
	fmt.Printf("%6.2f s  %s\n", after.Seconds(), what)
}

// tally adds events up, and follows each recipient through them.
type tally struct {
	count     map[event.Type]int
	deferred  map[string]bool
	settled   map[string]event.Type
	recovered int
}

func newTally() *tally {
	return &tally{count: map[event.Type]int{}, deferred: map[string]bool{}, settled: map[string]event.Type{}}
}

func (t *tally) add(e event.Event) {
	t.count[e.Type]++
	recipient := fmt.Sprintf("%s/%d", e.Message, e.Index)
	switch e.Type {
	case event.Accepted:
		t.settled[recipient] = ""
	case event.Deferred:
		t.deferred[recipient] = true
	case event.Delivered:
		if t.deferred[recipient] {
			t.recovered++
		}
		t.settled[recipient] = e.Type
	case event.Bounced, event.Expired, event.Dropped:
		t.settled[recipient] = e.Type
	}
}

// unsettled counts the recipients that were accepted and whose end no event
// tells.
func (t *tally) unsettled() int {
	n := 0
	for _, end := range t.settled {
		if end == "" {
			n++
		}
	}
	return n
}

// line is the last line of the report.
func (r *report) line() string {
	c := r.tally.count
	return fmt.Sprintf("demo: accepted=%d delivered=%d bounced=%d deferred_then_delivered=%d dkim_pass=%d opened=%d clicked=%d unsubscribed=%d lost=%d",
		c[event.Accepted], c[event.Delivered], c[event.Bounced], r.tally.recovered, r.dkimPass,
		c[event.Opened], c[event.Clicked], c[event.Unsubscribed], r.tally.unsettled())
}

// check compares the sums with what was put in.
func (r *report) check() error {
	want := map[string][2]int{
		"accepted":                {r.tally.count[event.Accepted], len(readers())},
		"delivered and bounced":   {r.tally.count[event.Delivered] + r.tally.count[event.Bounced], len(readers())},
		"bounced":                 {r.tally.count[event.Bounced], expected("moved.example") + expected("nomail.example")},
		"deferred then delivered": {r.tally.recovered, expected("cautious.example")},
		"messages received":       {len(r.messages), r.tally.count[event.Delivered]},
		"signed messages":         {r.dkimPass, r.tally.count[event.Delivered]},
		"signatures":              {r.signatures, 2 * r.tally.count[event.Delivered]},
		"opened":                  {r.tally.count[event.Opened], opens},
		"clicked":                 {r.tally.count[event.Clicked], clicks},
		"unsubscribed":            {r.tally.count[event.Unsubscribed], 1},
		"lost":                    {r.tally.unsettled(), 0},
	}
	for what, numbers := range want {
		if numbers[0] != numbers[1] {
			return fmt.Errorf("the sums do not agree: %s: %d instead of %d", what, numbers[0], numbers[1])
		}
	}
	return nil
}

func expected(domain string) int {
	for _, d := range destinations() {
		if d.domain == domain {
			return d.readers
		}
	}
	return 0
}
