package shape

import (
	"math"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// forgotten is after how long without mail a provider has forgotten a source.
const forgotten = 30

// fewest messages of a day that say anything about how they are taken.
const fewest = 20

// warmUp is how far a new source has come with one provider. Days are those of
// UTC.
type warmUp struct {
	mu       sync.Mutex
	schedule Schedule
	warmUpState
	// lifted: the operator lets today's cap be passed.
	lifted bool
}

// warmUpState is what of it outlives a restart.
type warmUpState struct {
	Source   string `json:"source"`
	Provider string `json:"provider"`
	// Step of the schedule, counted from 0, and Day that the counters are of,
	// counted from 1970; 0 before the first message.
	Step int   `json:"step"`
	Day  int64 `json:"day"`
	// Sent, Deferred and Complaints are the day's; Before was sent on the day of
	// use before.
	Sent       int `json:"sent,omitempty"`
	Deferred   int `json:"deferred,omitempty"`
	Complaints int `json:"complaints,omitempty"`
	Before     int `json:"before,omitempty"`
	// Fell: the source went a step back today.
	Fell bool `json:"fell,omitempty"`
	// Warm: the schedule is done with.
	Warm bool `json:"warm,omitempty"`
}

func dayOf(now time.Time) int64 { return now.Unix() / (24 * 60 * 60) }

// tomorrow is when the next day begins.
func tomorrow(now time.Time) time.Time { return time.Unix((dayOf(now)+1)*24*60*60, 0).UTC() }

// turn begins a new day where one has come: the caps rise if the last day was
// used and went well.
func (w *warmUp) turn(now time.Time) {
	today := dayOf(now)
	if w.Warm || len(w.schedule.Daily) == 0 || today <= w.Day {
		return
	}
	switch {
	case w.Day > 0 && today-w.Day > forgotten:
		w.Step = 0
	case w.Sent*2 >= w.schedule.cap(w.Step) && w.Sent > 0 && !w.Fell && !w.badly():
		w.Step++
	}
	if w.Sent > 0 {
		w.Before = w.Sent
	}
	w.Warm = w.Step >= len(w.schedule.Daily)
	w.Day, w.Sent, w.Deferred, w.Complaints, w.Fell, w.lifted = today, 0, 0, 0, false, false
}

// badly reports that more of the day's messages were deferred, or complained
// of, than may be.
func (w *warmUp) badly() bool {
	lately := float64(w.Sent + w.Before)
	return w.Sent >= fewest && float64(w.Deferred) > w.schedule.MaxDeferred*float64(w.Sent) ||
		lately >= fewest && float64(w.Complaints) > w.schedule.MaxComplaints*lately && w.Complaints > 1
}

// judge goes a step back, once a day, when it goes badly.
func (w *warmUp) judge() {
	if !w.Warm && !w.Fell && w.badly() {
		w.Fell, w.Step = true, max(w.Step-1, 0)
	}
}

// room is how many messages more may go today.
func (w *warmUp) room(now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	if w.Warm || w.lifted || len(w.schedule.Daily) == 0 {
		return math.MaxInt
	}
	return max(w.schedule.cap(w.Step)-w.Sent, 0)
}

// wait says how long until another message may go; zero for now.
func (w *warmUp) wait(now time.Time) time.Duration {
	if w == nil || w.room(now) > 0 {
		return 0
	}
	return tomorrow(now).Sub(now)
}

func (w *warmUp) sent(now time.Time, recipients int) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	w.Sent += recipients
	w.judge()
}

// deferred counts a refusal that speaks of the source.
func (w *warmUp) deferred(now time.Time) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	w.Deferred++
	w.judge()
}

// lift lets today's cap be passed.
func (w *warmUp) lift(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	w.lifted = true
}

func (w *warmUp) complained(now time.Time, count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	w.Complaints += count
	w.judge()
}

// aboutSource reports a refusal that speaks of who sends, and not of the
// address or of the receiver's own troubles.
func aboutSource(reply mail.Reply, category string) bool {
	switch category {
	case "rate_limit", "spam", "blocklist", "policy", "authentication":
		return true
	case "":
		return reply.Code == 421 || reply.Enhanced.Subject == 7
	}
	return false
}
