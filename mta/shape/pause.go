package shape

import (
	"sync"
	"sync/atomic"
	"time"
)

// pause is a throttle that ends by itself.
type pause struct {
	until time.Time
	why   cause
	// probed pauses are those of a site that refuses everything.
	probed bool
}

// blockKey names what of a tenant is kept from a site: all of it where campaign
// is empty.
type blockKey struct{ site, tenant, campaign string }

// maxBlocks bounds what is remembered.
const maxBlocks = 10_000

// blocks are the pauses of tenants and campaigns. They hold for every source:
// what is said of a tenant is not said of an address of ours.
type blocks struct {
	// count lets the usual answer, none, go without the lock.
	count atomic.Int64
	mu    sync.Mutex
	all   map[blockKey]pause
}

// add puts a pause in force, or lengthens the one that is.
func (b *blocks) add(now time.Time, key blockKey, p pause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[blockKey]pause{}
	}
	if known, ok := b.all[key]; ok && known.until.After(p.until) {
		return
	}
	if len(b.all) >= maxBlocks {
		b.reap(now)
	}
	if len(b.all) < maxBlocks {
		b.all[key] = p
	}
	b.count.Store(int64(len(b.all)))
}

// reap forgets what is over. The caller holds b.mu.
func (b *blocks) reap(now time.Time) {
	for key, p := range b.all {
		if !p.until.After(now) {
			delete(b.all, key)
		}
	}
	b.count.Store(int64(len(b.all)))
}

// find returns the pause that keeps a tenant's campaign from a site longest.
func (b *blocks) find(now time.Time, site, tenant, campaign string) (blockKey, pause, bool) {
	if b.count.Load() == 0 {
		return blockKey{}, pause{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var foundKey blockKey
	var found pause
	for _, key := range [...]blockKey{{site, tenant, ""}, {site, tenant, campaign}, {AnySite, tenant, campaign}} {
		if p, ok := b.all[key]; ok && p.until.After(now) && p.until.After(found.until) {
			foundKey, found = key, p
		}
	}
	return foundKey, found, !found.until.IsZero()
}

// each calls f for what is in force, and forgets the rest.
func (b *blocks) each(now time.Time, f func(blockKey, pause)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reap(now)
	for key, p := range b.all {
		f(key, p)
	}
}

// lift ends those at a site that wanted says, and returns how many.
func (b *blocks) lift(now time.Time, site string, wanted func(throttle, rule string) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reap(now)
	lifted := 0
	for key, p := range b.all {
		if key.site == site && wanted(key.throttle(), p.why.rule) {
			delete(b.all, key)
			lifted++
		}
	}
	b.count.Store(int64(len(b.all)))
	return lifted
}

func (k blockKey) throttle() string {
	if k.campaign != "" {
		return ThrottleCampaign
	}
	return ThrottleTenant
}

func (k blockKey) show(p pause) Throttle {
	return Throttle{
		Site: k.site, Tenant: k.tenant, Campaign: k.campaign, Name: k.throttle(),
		Rule: p.why.rule, Reason: p.why.reason, Cause: p.why.reply, Until: p.until,
	}
}

// AnySite stands for all sites in the throttles that PauseCampaign makes.
const AnySite = "*"

// PauseCampaign keeps a tenant's campaign, which must have a name, from all sites
// until a time, for a reason in words without an address. Lift ends it at
// AnySite.
func (s *Shaper) PauseCampaign(now, until time.Time, tenant, campaign, reason string) {
	if campaign == "" || tenant == "" {
		return // it would be more than was asked for
	}
	s.blocks.add(now, blockKey{AnySite, tenant, campaign}, pause{until: until, why: cause{reason: reason}})
}

// Blocked says whether mail of a tenant's campaign is kept from the target's
// site, whichever source it would leave by, and by which throttle: such a
// recipient is to wait until its end, without an attempt counted. Pauses of the
// whole site are not meant: Connect and Paused tell of those.
func (s *Shaper) Blocked(now time.Time, t Target, tenant, campaign string) (Throttle, bool) {
	key, found, ok := s.blocks.find(now, t.Site, tenant, campaign)
	if !ok {
		return Throttle{}, false
	}
	return key.show(found), true
}
