package hit

import (
	"hash/maphash"
	"time"
)

const (
	// burstLinks is how many different links of one message a recipient's
	// machine follows within burstSpan. People open two at once, in tabs.
	burstLinks = 3
	burstSpan  = 2 * time.Second
)

// clicked are the links that a recipient followed last, each once.
type clicked struct {
	links [burstLinks]linkClick
	// last is the place, from 1, of the recipient's last click in the hits of
	// the given round of Sift.
	last  int
	round uint64
}

type linkClick struct {
	link uint64
	at   int64
}

// addClick notes hit i, and marks it and those before it if they are a burst,
// too soon or not.
func (c *Classifier) addClick(hits []Hit, i int) {
	h := &hits[i]
	at := h.Time.UnixNano()
	s := c.clicking.claim(h.Recipient, at)
	if s.value.round == c.round {
		c.before[i] = s.value.last
	}
	s.value.round, s.value.last = c.round, i+1
	s.value.add(maphash.String(c.clicking.seed, h.URL), at)
	from := at - burstSpan.Nanoseconds()
	if !s.value.isBurst(from) {
		return
	}
	// Whatever is marked stands behind others that are marked as far back.
	for n := i + 1; n > 0; n = c.before[n-1] {
		b := &hits[n-1]
		if b.Machine == Burst || b.Time.UnixNano() < from {
			return
		}
		b.Machine = Burst
	}
}

// add puts a click in the place of the last one on the same link, or of the
// oldest.
func (c *clicked) add(link uint64, at int64) {
	place := &c.links[0]
	for i := range c.links {
		l := &c.links[i]
		if l.at != 0 && l.link == link {
			place = l
			break
		}
		if l.at < place.at {
			place = l
		}
	}
	*place = linkClick{link, at}
}

// isBurst reports that all the last links were followed from a time on.
func (c *clicked) isBurst(from int64) bool {
	for i := range c.links {
		if c.links[i].at == 0 || c.links[i].at < from {
			return false
		}
	}
	return true
}
