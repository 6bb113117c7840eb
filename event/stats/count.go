package stats

import (
	"cmp"
	"slices"

	"github.com/postrider-mta/postrider/event"
)

// count adds records to the statistics, in one transaction with the cursor.
// Those counted before are passed over.
func (s *Store) count(records []event.Record) error {
	if len(records) == 0 {
		return nil
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	var done *batch
	err := s.update(func(t *transaction) error {
		done = s.newBatch(t)
		return done.write(records)
	})
	if err != nil {
		s.failures.Add(1)
		return err
	}
	s.recent = done.seen
	s.cursor.Store(max(done.cursor, records[len(records)-1].Position))
	s.counted.Add(done.added)
	return nil
}

// newBatch begins where the file is. It may be ahead of what the store knows: a
// commit that failed can have taken effect.
func (s *Store) newBatch(t *transaction) *batch {
	b := &batch{transaction: t, seen: s.recent, days: map[dayOfCampaign]*counters{}, clicks: map[dayOfCampaign]linkDay{}}
	meta := t.bucket(metaBucket)
	if b.cursor = number(meta.Get([]byte(cursorKey))); b.cursor != s.cursor.Load() {
		b.seen = readRecent(meta.Get([]byte(recentKey)))
	}
	return b
}

type dayOfCampaign struct {
	campaign *campaign
	day      day
}

// batch gathers what records add before any of it is written.
type batch struct {
	*transaction
	// cursor is that of the file, added how many events lay behind it.
	cursor uint64
	added  int64
	// seen is a copy of the store's own once it has changed.
	seen   *recent
	hits   bool
	days   map[dayOfCampaign]*counters
	clicks map[dayOfCampaign]linkDay
	firsts []first
}

// first is something that counts once for each recipient of a message, if it is
// the first of its kind.
type first struct {
	mark
	// order is its place among those of the batch.
	order int
	count func()
}

func (b *batch) write(records []event.Record) error {
	for len(records) > 0 && records[0].Position <= b.cursor {
		records = records[1:]
	}
	if len(records) == 0 {
		return nil
	}
	b.added = int64(len(records))
	for i := range records {
		if err := b.add(&records[i].Event); err != nil {
			return err
		}
	}
	if err := b.settleFirsts(); err != nil {
		return err
	}
	return b.save(&records[len(records)-1])
}

func (b *batch) add(e *event.Event) error {
	if !counted(e.Type) || readerEvent(e.Type) && b.repeated(e) {
		return nil
	}
	c, err := b.place(names{cut(e.Tenant), cut(e.Stream), cut(e.Campaign)})
	if err != nil {
		return err
	}
	at := dayOfCampaign{c, dayOf(e.Time)}
	row := b.days[at]
	if row == nil {
		row = &counters{}
		b.days[at] = row
	}
	switch e.Type {
	case event.Opened:
		b.addHit(e, row, opensRaw, markOpened)
	case event.Clicked:
		b.addHit(e, row, clicksRaw, markClicked)
		return b.addClick(e, at)
	case event.Unsubscribed:
		b.once(e, markUnsubscribed, &row.readers[unsubscribed])
	case event.Complained:
		b.once(e, markComplained, &row.readers[complained])
	default:
		addMail(e, row)
	}
	return nil
}

// repeated reports whether a reader's event was written twice.
func (b *batch) repeated(e *event.Event) bool {
	if e.ID == "" {
		return false
	}
	if !b.hits {
		b.seen, b.hits = b.seen.clone(), true
	}
	return !b.seen.add(e.ID)
}

func readerEvent(t event.Type) bool {
	switch t {
	case event.Opened, event.Clicked, event.Unsubscribed, event.Complained:
		return true
	}
	return false
}

// counted reports whether statistics are about a type; others may come.
func counted(t event.Type) bool {
	switch t {
	case event.Accepted, event.Deferred, event.Delivered, event.Bounced, event.Expired, event.Dropped:
		return true
	}
	return readerEvent(t)
}

// addMail counts what became of a recipient. One that ended without an attempt
// was not sent; nor is it sent again by what comes back later.
func addMail(e *event.Event, row *counters) {
	ended := true
	switch e.Type {
	case event.Accepted:
		row.mail[accepted]++
		ended = false
	case event.Deferred:
		row.mail[deferred]++
		ended = false
	case event.Dropped:
		row.mail[dropped]++
		ended = false
	case event.Delivered:
		row.mail[delivered]++
	case event.Bounced:
		row.bounce(e.Category)
	case event.Expired:
		row.mail[expired]++
	}
	if ended && e.Attempt > 0 {
		row.mail[sent]++
	}
}

// addHit counts a hit from raw on: all, those of people, and the first of each
// of these.
func (b *batch) addHit(e *event.Event, row *counters, raw int, kind uint16) {
	row.readers[raw]++
	if e.Machine == "" {
		row.readers[raw+1]++
		b.once(e, kind, &row.readers[raw+2])
	}
}

func (b *batch) addClick(e *event.Event, at dayOfCampaign) error {
	l, err := b.link(at.campaign, e.URL)
	if err != nil {
		return err
	}
	if b.clicks[at] == nil {
		b.clicks[at] = linkDay{}
	}
	row := b.clicks[at].at(l.place)
	row.raw++
	if e.Machine == "" {
		row.human++
		if e.Message == "" {
			// Nobody can tell whose it is, so that it counts as another reader's
			// towards the naming of its link, and for none elsewhere.
			l.unique++
			l.changed = true
		}
		b.onceFor(e, markLink+uint16(l.place), func() {
			row.unique++
			l.unique++
			l.changed = true
		})
	}
	return nil
}

// once counts where this is the recipient's first event of the kind.
func (b *batch) once(e *event.Event, kind uint16, counter *int64) {
	b.onceFor(e, kind, func() { *counter++ })
}

// onceFor counts nothing for a message that is too old, whose marks may be gone.
// Who cannot be told from others is not counted for one of them either: that is
// what an id is which is not of the store's form.
func (b *batch) onceFor(e *event.Event, kind uint16, count func()) {
	id, ok := parseMessage(e.Message)
	if !ok || e.Time.Sub(messageTime(id)) > b.store.options.UniqueFor {
		return
	}
	b.firsts = append(b.firsts, first{newMark(id, kind, uint32(e.Index)), len(b.firsts), count})
}

// settleFirsts finds out which of them are the first, in the order of marks and
// not in that of events, so that each block is read and written once.
func (b *batch) settleFirsts() error {
	slices.SortFunc(b.firsts, func(x, y first) int { return cmp.Or(compareMarks(x.mark, y.mark), x.order-y.order) })
	b.firsts = slices.CompactFunc(b.firsts, func(x, y first) bool { return x.mark == y.mark })
	marks := make([]mark, len(b.firsts))
	for i := range b.firsts {
		marks[i] = b.firsts[i].mark
	}
	fresh, err := blocks{b.bucket(marksBucket)}.add(marks)
	for i := range fresh {
		if fresh[i] {
			b.firsts[i].count()
		}
	}
	return err
}

func (b *batch) save(last *event.Record) error {
	if err := b.saveDays(); err != nil {
		return err
	}
	if err := b.saveClicks(); err != nil {
		return err
	}
	for _, l := range b.links {
		l.name(b.store.options.MaskBelow)
		if !l.changed {
			continue
		}
		if err := b.bucket(linksBucket).Put(l.key, l.append(nil)); err != nil {
			return err
		}
	}
	for _, c := range b.campaigns {
		if err := b.bucket(campaignsBucket).Put(c.key(), c.append(nil)); err != nil {
			return err
		}
	}
	return b.saveMeta(last)
}

func (b *batch) saveDays() error {
	bucket := b.bucket(daysBucket)
	for _, at := range inOrder(b.days) {
		added := b.days[at]
		key := dayKey(at.campaign.id, at.day)
		f := fields{b: bucket.Get(key)}
		row := f.counters()
		if f.err != nil {
			return f.err
		}
		row.add(added, 1)
		at.campaign.total.add(added, 1)
		at.campaign.last = max(at.campaign.last, at.day)
		if err := bucket.Put(key, row.append(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) saveClicks() error {
	bucket := b.bucket(clicksBucket)
	for _, at := range inOrder(b.clicks) {
		key := dayKey(at.campaign.id, at.day)
		row, err := readLinkDay(bucket.Get(key))
		if err != nil {
			return err
		}
		for place, c := range b.clicks[at] {
			sum := row.at(place)
			sum.raw, sum.human, sum.unique = sum.raw+c.raw, sum.human+c.human, sum.unique+c.unique
		}
		if err := bucket.Put(key, row.append(nil)); err != nil {
			return err
		}
	}
	return nil
}

// inOrder returns the keys as the file has them, so that pages are met in turn.
func inOrder[Row any](rows map[dayOfCampaign]Row) []dayOfCampaign {
	keys := make([]dayOfCampaign, 0, len(rows))
	for at := range rows {
		keys = append(keys, at)
	}
	slices.SortFunc(keys, func(x, y dayOfCampaign) int {
		if x.campaign.id != y.campaign.id {
			return int(int64(x.campaign.id) - int64(y.campaign.id))
		}
		return int(int64(x.day) - int64(y.day))
	})
	return keys
}

func (b *batch) saveMeta(last *event.Record) error {
	meta := b.bucket(metaBucket)
	if b.hits {
		if err := meta.Put([]byte(recentKey), b.seen.append(nil)); err != nil {
			return err
		}
	}
	if err := meta.Put([]byte(untilKey), octets(uint64(last.Event.Time.UnixNano()))); err != nil {
		return err
	}
	return meta.Put([]byte(cursorKey), octets(last.Position))
}
