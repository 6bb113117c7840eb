package notice

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// maxSenders bounds the senders that are counted in an hour, and so the memory.
// Others get nothing until the next.
const maxSenders = 100_000

// limiter counts what senders get in an hour. It keeps hashes that mean nothing
// outside of this process, and no addresses.
type limiter struct {
	perHour int
	most    int
	seed    maphash.Seed

	mu    sync.Mutex
	hour  time.Time
	given map[uint64]int
}

func newLimiter(perHour int) *limiter {
	return &limiter{perHour: perHour, most: maxSenders, seed: maphash.MakeSeed(), given: map[uint64]int{}}
}

func (l *limiter) key(tenant string, sender mail.Address) uint64 {
	return maphash.String(l.seed, tenant+"\x00"+sender.Key())
}

// room reports whether a sender may get another one.
func (l *limiter) room(now time.Time, key uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	given, known := l.given[key]
	return given < l.perHour && (known || len(l.given) < l.most)
}

// count notes that a sender got one.
func (l *limiter) count(now time.Time, key uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	l.given[key]++
}

// turn begins another hour. One that lies ahead was begun by a clock that has
// gone back since.
func (l *limiter) turn(now time.Time) {
	if hour := now.Truncate(time.Hour); !hour.Equal(l.hour) {
		l.hour, l.given = hour, map[uint64]int{}
	}
}
