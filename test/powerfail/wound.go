package powerfail

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
	"github.com/postrider-mta/postrider/test/powerfail/disk"
)

// wound is damage that somebody did to what had been synced.
type wound struct {
	name  string
	image disk.Image
	// hit says that a message may be lost; of all others nothing may.
	hit map[queue.ID]bool
	// refuses is the file that the store must name when it does not open.
	refuses string
	// eventless: events are hit as well, of any message.
	eventless bool
}

// record is one journal record of an image.
type journalRecord struct {
	position, end journal.Position
	payload       []byte
}

func (r journalRecord) file() string {
	return path.Join("journal", fmt.Sprintf("%08d", r.position.Segment()))
}

// wounds damages an image in several ways and looks at what the store makes of
// each. It reports false if there is nothing yet to damage.
func (r *run) wounds(l life, moment int, image disk.Image) (bool, error) {
	records, err := readJournal(image, r.options.Scratch)
	group := r.options.Subject.group()
	if err != nil || len(records) <= 2*group {
		return false, err
	}
	last := slices.IndexFunc(records, func(other journalRecord) bool { return other.file() == records[len(records)-1].file() })
	hurt := surgeon{ledger: l.ledger, image: image, records: records, group: group, last: last, random: r.random}
	var all []wound
	for range max(2, r.options.States/r.options.Lives/100) {
		all = append(all, hurt.flip(hurt.pick()), hurt.flip(hurt.pickLast()))
		if last > 0 {
			all = append(all, hurt.cut(hurt.pickOld()), hurt.remove(hurt.pickOld()))
		}
	}
	all = append(all, hurt.events()...)
	all = append(all, hurt.database("queue.db"))
	if len(l.ledger.barriers) > 0 {
		all = append(all, hurt.database("suppress.db"), hurt.without("suppress.db.key"))
	}
	for _, w := range all {
		if err := r.beside(w.image, func(at scene) { r.treat(l, moment, w, at) }); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) treat(l life, moment int, w wound, at scene) {
	seen, damaged, err := l.ledger.watch(at.folder, moment, false)
	reported := int(damaged)
	var findings []finding
	switch {
	case w.refuses != "":
		reported = 1
		if err == nil || !strings.Contains(err.Error(), w.refuses) {
			findings = append(findings, finding{fault: wrong, text: fmt.Sprintf("opened, or refused without naming %s: %v", w.refuses, err)})
		}
	case err != nil:
		findings = append(findings, finding{fault: refused, text: err.Error()})
	default:
		for _, err := range seen.bodies {
			if errors.Is(err, queue.ErrDamaged) {
				reported++
			}
		}
		findings = w.judge(l.ledger, moment, seen, reported)
	}
	name := fmt.Sprintf("life %d, step %d, %s", l.number, moment, w.name)
	name, findings = at.leave(name, findings)
	r.book(name, 0, findings)
	r.mu.Lock()
	r.result.DamagedReported += reported
	r.mu.Unlock()
}

// judge returns what is wrong beyond what was hit, and what was lost in
// silence.
func (w *wound) judge(l *ledger, moment int, seen *observation, reported int) []finding {
	var findings []finding
	hurt, first := 0, "events"
	if w.eventless {
		hurt = 1
		findings = w.owed(l, moment, seen)
	} else {
		for _, f := range l.inspect(moment, seen) {
			if w.hit[f.message] {
				hurt++
				first = f.String()
				continue
			}
			findings = append(findings, f)
		}
	}
	if hurt > 0 && reported == 0 {
		findings = append(findings, finding{fault: lost, text: fmt.Sprintf("%d losses are reported nowhere, such as %s", hurt, first)})
	}
	return findings
}

// owed looks for what must be owed whatever the events say.
func (w *wound) owed(l *ledger, moment int, seen *observation) []finding {
	there := map[queue.RecipientID]bool{}
	for _, e := range seen.entries {
		there[queue.RecipientID{Message: e.Message.ID, Index: e.Index}] = true
	}
	var findings []finding
	for _, r := range l.stillOwed(moment) {
		if !there[r] || seen.bodies[r.Message] != nil {
			findings = append(findings, finding{lost, r.Message, fmt.Sprintf("%s is owed no more, or without its body", r)})
		}
	}
	return findings
}

// readJournal returns all records of an image.
func readJournal(image disk.Image, scratch string) ([]journalRecord, error) {
	folder, err := prepare(image, scratch)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(journal.Options{Dir: filepath.Join(folder, "journal")})
	if err != nil {
		return nil, err
	}
	var records []journalRecord
	err = j.Scan(0, func(r journal.Record) error {
		records = append(records, journalRecord{r.Position, r.End, bytes.Clone(r.Payload)})
		return nil
	})
	return records, errors.Join(err, j.Close(), os.RemoveAll(folder))
}

// surgeon makes wounds.
type surgeon struct {
	ledger  *ledger
	image   disk.Image
	records []journalRecord
	// group is how many records one sync may carry.
	group int
	// last is where the records of the last segment begin.
	last   int
	random *rand.Rand
}

func (s *surgeon) wound(name string) wound {
	return wound{name: name, image: s.image.Clone(), hit: map[queue.ID]bool{}}
}

// hit marks the messages that a record speaks of.
func (s *surgeon) hit(w *wound, r journalRecord) {
	for id := range s.ledger.messages {
		if bytes.Contains(r.payload, id[:]) || bytes.Contains(r.payload, []byte(id.String())) {
			w.hit[id] = true
		}
	}
	for id, h := range s.ledger.holds {
		if bytes.Contains(r.payload, id[:]) || bytes.Contains(r.payload, []byte(id.String())) {
			w.hit[h.selector.Message] = true
		}
	}
}

// pick returns a record that was certainly synced. Damage to the last group
// cannot be told from a torn write, which nobody reports.
func (s *surgeon) pick() journalRecord {
	return s.records[s.random.IntN(len(s.records)-s.group)]
}

// pickLast returns such a record of the segment that was written last, if it
// has one.
func (s *surgeon) pickLast() journalRecord {
	synced := s.records[s.last : len(s.records)-min(s.group, len(s.records)-s.last)]
	if len(synced) == 0 {
		return s.pick()
	}
	return synced[s.random.IntN(len(synced))]
}

// pickOld returns a record of a segment that has a successor: without one
// nobody can know where a segment ended, or that it was there.
func (s *surgeon) pickOld() journalRecord { return s.records[s.random.IntN(s.last)] }

// flip turns one bit of a record.
func (s *surgeon) flip(r journalRecord) wound {
	at := int64(r.position.Offset()) + s.random.Int64N(int64(r.end-r.position))
	w := s.wound(fmt.Sprintf("bit turned at %d of %s", at, r.file()))
	w.image[r.file()].Data[at] ^= 1 << s.random.IntN(8)
	s.hit(&w, r)
	return w
}

// cut shortens a segment in the middle of a record.
func (s *surgeon) cut(r journalRecord) wound {
	at := int64(r.position.Offset()) + s.random.Int64N(int64(r.end-r.position))
	w := s.wound(fmt.Sprintf("cut at %d of %s", at, r.file()))
	w.image[r.file()] = disk.File{Data: w.image[r.file()].Data[:at]}
	for _, other := range s.records {
		if other.file() == r.file() && other.position >= r.position {
			s.hit(&w, other)
		}
	}
	return w
}

// remove takes the whole segment of a record away.
func (s *surgeon) remove(r journalRecord) wound {
	w := s.wound(r.file() + " removed")
	delete(w.image, r.file())
	for _, other := range s.records {
		if other.file() == r.file() {
			s.hit(&w, other)
		}
	}
	return w
}

// events makes the day files unreadable: by garbage in front, and by cutting.
func (s *surgeon) events() []wound {
	var all []wound
	for name, file := range s.image {
		if file.Kind != disk.Regular || path.Dir(name) != "events" || path.Ext(name) != ".db" {
			continue
		}
		garbled, short := s.wound("garbage in "+name), s.wound("cut "+name)
		for i := range min(len(file.Data), 4*4096) {
			garbled.image[name].Data[i] = byte(s.random.Uint32())
		}
		short.image[name] = disk.File{Data: short.image[name].Data[:4096+s.random.IntN(4096)]}
		garbled.eventless, short.eventless = true, true
		all = append(all, garbled, short)
	}
	return all
}

// database makes both beginnings of a file of bbolt's unreadable.
func (s *surgeon) database(name string) wound {
	w := s.wound("garbage in " + name)
	for i := range min(len(w.image[name].Data), 2*4096) {
		w.image[name].Data[i] = byte(s.random.Uint32())
	}
	w.refuses = name
	return w
}

// without takes a file away that the others are nothing without.
func (s *surgeon) without(name string) wound {
	w := s.wound(name + " removed")
	delete(w.image, name)
	w.refuses = name
	return w
}
