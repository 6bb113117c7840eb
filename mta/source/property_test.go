package source

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawn makes a pool of 1 to 8 sources with weights.
func drawn(t *rapid.T) (Options, map[string]float64) {
	weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "weights")
	o := Options{Pools: []Pool{{Name: "p"}}, Random: steady}
	shares, total := map[string]float64{}, 0.0
	for i, w := range weights {
		name := fmt.Sprint("s", i)
		o.Sources = append(o.Sources, Source{Name: name})
		o.Pools[0].Members = append(o.Pools[0].Members, Member{name, w})
		shares[name] = float64(w)
		total += float64(w)
	}
	for name := range shares {
		shares[name] /= total
	}
	return o, shares
}

func newDrawn(t *rapid.T, o Options) *Set {
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holds demands shares within five standard deviations.
func holds(t *rapid.T, counts map[string]int, shares map[string]float64, n int) {
	for name, p := range shares {
		mean, deviation := p*float64(n), math.Sqrt(float64(n)*p*(1-p))
		if got := float64(counts[name]); math.Abs(got-mean) > 5*deviation+1 {
			t.Fatalf("%s got %.0f of %d, its share is %.0f +- %.0f", name, got, n, mean, deviation)
		}
	}
}

// The weights hold at every site, over messages and over the recipients of one.
func TestSharesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, shares := drawn(t)
		o.Block = rapid.IntRange(1, 3).Draw(t, "block")
		s := newDrawn(t, o)
		site := rapid.StringMatching(`[a-z]{1,10}\.(com|net)`).Draw(t, "site")
		campaign := rapid.Bool().Draw(t, "one message")
		const n = 1500
		counts := map[string]int{}
		for i := range n {
			r := Request{Site: site, Message: fmt.Sprint("m", i)}
			if campaign {
				r.Message, r.Recipient = "campaign", i*o.Block
			}
			c, err := s.Choose(start(), r)
			if err != nil {
				t.Fatal(err)
			}
			counts[c.Source.Name]++
		}
		holds(t, counts, shares, n)
	})
}

// A source that drops out moves its own messages, to the others by their
// weights, and takes them back.
func TestOnlyItsOwnMessagesMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, shares := drawn(t)
		if len(o.Sources) < 2 {
			t.Skip("nowhere to go")
		}
		s := newDrawn(t, o)
		gone := rapid.SampledFrom(o.Sources).Draw(t, "gone").Name
		const n = 800
		ask := func() []string {
			names := make([]string, n)
			for i := range n {
				c, err := s.Choose(start(), message(i))
				if err != nil {
					t.Fatal(err)
				}
				names[i] = c.Source.Name
			}
			return names
		}
		before := ask()
		s.Suspend(start(), Suspension{Source: gone, Name: SuspendedOperator})
		during := ask()
		moved := map[string]int{}
		of := 0
		for i := range n {
			switch {
			case before[i] == gone:
				of++
				moved[during[i]]++
			case before[i] != during[i]:
				t.Fatalf("message %d moved from %s to %s", i, before[i], during[i])
			}
		}
		rest := 1 - shares[gone]
		delete(shares, gone)
		for name := range shares {
			shares[name] /= rest
		}
		holds(t, moved, shares, of)
		s.Lift(gone, "", "")
		for i, name := range ask() {
			if name != before[i] {
				t.Fatalf("message %d did not come back", i)
			}
		}
	})
}

// A suspended source is never chosen, a suspension that is over is probed by
// one message at a time, and in the end every source comes back.
func TestSuspensionsHoldAndEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, _ := drawn(t)
		s := newDrawn(t, o)
		now, probing, messages := start(), map[string]time.Time{}, 0
		t.Repeat(map[string]func(*rapid.T){
			"suspend": func(t *rapid.T) {
				name := rapid.SampledFrom(o.Sources).Draw(t, "source").Name
				s.Suspend(now, Suspension{Source: name, Site: "google.com", Name: rapid.SampledFrom([]string{SuspendedBind, SuspendedProxy, SuspendedBlocked}).Draw(t, "name")})
				delete(probing, name)
			},
			"choose": func(t *rapid.T) {
				messages++
				c, err := s.Choose(now, message(messages))
				if err != nil {
					return
				}
				for _, held := range s.Suspensions(now) {
					if held.Source != c.Source.Name {
						continue
					}
					if held.Until.After(now) || !c.Probe {
						t.Fatalf("chosen while suspended: %+v", held)
					}
				}
				if c.Probe {
					if last, ok := probing[c.Source.Name]; ok && now.Sub(last) < 5*time.Minute {
						t.Fatal("two probes at once")
					}
					probing[c.Source.Name] = now
				}
			},
			"deliver": func(t *rapid.T) {
				name := rapid.SampledFrom(o.Sources).Draw(t, "source").Name
				s.Delivered(now, name, "google.com", IPv4)
				delete(probing, name)
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "time")))
			},
		})
		now = now.Add(30 * time.Hour)
		all, err := s.Candidates(now, message(0))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Reason != "" {
				t.Fatalf("%s never comes back: %s", c.Source.Name, c.Reason)
			}
		}
	})
}
