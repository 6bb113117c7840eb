package log

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
)

// scanBatch is how many records are looked through in one transaction.
const scanBatch = 2000

// HolderName names the log among the holders of personal data.
func (l *Log) HolderName() string { return "events" }

// Find counts the events about a subject. Like Export, Rectify and Erase it
// goes through all days, and returns ErrDamaged beside its result when there
// are files set aside, which it cannot see into.
func (l *Log) Find(ctx context.Context, s person.Subject) (int, error) {
	found := 0
	err := l.scan(ctx, s, func(event.Event) error {
		found++
		return nil
	})
	return found, errors.Join(err, l.unseen())
}

// Export yields each event about a subject, oldest first.
func (l *Log) Export(ctx context.Context, s person.Subject, yield func(person.Record) error) error {
	err := l.scan(ctx, s, func(e event.Event) error {
		return yield(person.Record{Kind: "event", Time: e.Time, Data: e})
	})
	return errors.Join(err, l.unseen())
}

// Rectify writes another address into the events about a subject.
func (l *Log) Rectify(ctx context.Context, s person.Subject, to mail.Address) (int, error) {
	return l.changeAll(ctx, s, func(e *event.Event) { e.Recipient = to.String() })
}

// Erase takes the person out of the events and keeps what statistics need: the
// address becomes a random one that only these events share, and metadata,
// URLs, the text of replies and reasons that tell the address are removed. The files
// are written anew, so that nothing stays behind in their free pages.
func (l *Log) Erase(ctx context.Context, s person.Subject) (int, error) {
	pseudonym := newPseudonym()
	return l.changeAll(ctx, s, func(e *event.Event) { anonymise(e, s, pseudonym) })
}

func anonymise(e *event.Event, s person.Subject, pseudonym string) {
	e.Recipient = pseudonym
	e.Metadata = nil
	e.URL = ""
	if e.Reply != nil {
		reply := *e.Reply
		reply.Text = ""
		e.Reply = &reply
	}
	if strings.Contains(strings.ToLower(e.Reason), strings.ToLower(s.Address.Local())) {
		e.Reason = ""
	}
}

// Expire unlinks the files of the days that had ended at before, those set
// aside among them, and returns how many events they held. The newest file
// holds the log's position, so a new one is begun before it goes.
func (l *Log) Expire(ctx context.Context, before time.Time) (int, error) {
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	if l.shelf.isClosed() {
		return 0, ErrClosed
	}
	cut := dayName(before)
	expired := 0
	for _, d := range l.shelf.list() {
		if d.name >= cut {
			break
		}
		if err := ctx.Err(); err != nil {
			return expired, err
		}
		n, err := l.expireDay(d)
		if err != nil {
			return expired, fmt.Errorf("expire events of %s: %w", d.name, err)
		}
		expired += n
	}
	return expired, l.expireSetAside(cut)
}

func (l *Log) expireDay(d *day) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.shelf.isNewest(d) {
		today := l.shelf.writingDay(time.Now())
		if today == d.name {
			return 0, nil // it has not ended
		}
		if _, err := l.shelf.begin(today, l.position.Load()); err != nil {
			return 0, err
		}
	}
	about, err := l.shelf.describe(d)
	if errors.Is(err, ErrDamaged) {
		return 0, nil // set aside just now, and removed as such
	}
	if err != nil {
		return 0, err
	}
	return int(about.count), l.shelf.remove(d)
}

func (l *Log) expireSetAside(cut string) error {
	files, err := l.shelf.setAsideFiles()
	for _, file := range files {
		if file < cut {
			err = errors.Join(err, os.Remove(filepath.Join(l.shelf.dir, file)))
		}
	}
	return err
}

// unseen is the error of a search that files set aside took no part in.
func (l *Log) unseen() error {
	files, err := l.shelf.setAsideFiles()
	if err == nil && len(files) > 0 {
		err = fmt.Errorf("%w: not searched: %s", ErrDamaged, strings.Join(files, ", "))
	}
	return err
}

// scan calls yield for every event about a subject.
func (l *Log) scan(ctx context.Context, s person.Subject, yield func(event.Event) error) error {
	match := newMatcher(s)
	for _, d := range l.shelf.list() {
		if err := l.scanDay(ctx, d, match, yield); err != nil && !errors.Is(err, ErrDamaged) {
			return fmt.Errorf("search events of %s: %w", d.name, err)
		}
	}
	if l.shelf.isClosed() {
		return ErrClosed
	}
	return nil
}

func (l *Log) scanDay(ctx context.Context, d *day, match *matcher, yield func(event.Event) error) error {
	for after := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		values, err := l.shelf.values(d, after, scanBatch)
		if err != nil || len(values) == 0 {
			return err
		}
		for _, v := range values {
			after = v.position
			if err := l.examine(v, match, yield); err != nil {
				return err
			}
		}
	}
}

func (l *Log) examine(v value, match *matcher, yield func(event.Event) error) error {
	if !match.concerns(v.raw) {
		return nil
	}
	e, err := decode(v.raw)
	if err != nil {
		l.skipDamaged(v.position, err)
		return nil
	}
	if !match.match(&e) {
		return nil
	}
	return yield(e)
}

// changeAll rewrites each file that holds an event about the subject.
func (l *Log) changeAll(ctx context.Context, s person.Subject, apply func(*event.Event)) (int, error) {
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	if l.shelf.isClosed() {
		return 0, ErrClosed
	}
	match := newMatcher(s)
	changed := 0
	for _, d := range l.shelf.list() {
		held := false
		err := l.scanDay(ctx, d, match, func(event.Event) error {
			held = true
			return nil
		})
		if err == nil && held {
			var n int
			n, err = l.rewrite(ctx, d, change{match, apply})
			changed += n
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return changed, fmt.Errorf("change events of %s: %w", d.name, err)
		}
	}
	return changed, l.unseen()
}

// change applies something to the events of one subject.
type change struct {
	*matcher
	apply func(*event.Event)
}

func (c change) change(e *event.Event) bool {
	if !c.match(e) {
		return false
	}
	c.apply(e)
	return true
}
