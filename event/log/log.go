package log

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of a log. Callers test for them with errors.Is.
var (
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("event log is closed")
	// ErrDamaged: a day file is not what was written. It is set aside, so what
	// it held is neither read nor erased.
	ErrDamaged = errors.New("event day file is damaged")
)

// Options say where a log lives and how much it may hold open.
type Options struct {
	// Dir holds the day files; it is created when absent.
	Dir string
	// Logger receives what an operator must know; nil discards it.
	Logger *slog.Logger
	// LookBack is how many days before an event its accepted event is searched
	// for; zero for 31.
	LookBack int
	// OpenFiles bounds the day files held open; zero for 4.
	OpenFiles int
}

const (
	defaultLookBack  = 31
	defaultOpenFiles = 4
)

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LookBack <= 0 {
		o.LookBack = defaultLookBack
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = defaultOpenFiles
	}
}

// Log is the one order of all events on disk. It is safe for concurrent use.
type Log struct {
	logger   *slog.Logger
	lookBack int
	shelf    *shelf

	// rewriting serialises what replaces or removes whole files; it is taken
	// before writing.
	rewriting sync.Mutex
	// writing is held by whoever changes the newest file.
	writing sync.Mutex

	position atomic.Uint64
	news     news

	damagedRecords atomic.Int64
	repaired       atomic.Int64
	unmatched      atomic.Int64
	repeated       atomic.Int64
}

// Open opens the log in o.Dir, or begins one. It reads one file, however much
// history there is; files that cannot be opened are set aside.
func Open(o Options) (*Log, error) {
	o.setDefaults()
	s, err := openShelf(o.Dir, o.OpenFiles, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	l := &Log{logger: o.Logger, lookBack: o.LookBack, shelf: s}
	l.news.init()
	position, err := l.shelf.lastPosition()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open event log: %w", err), s.close())
	}
	l.position.Store(position)
	return l, nil
}

// Position returns the position of the last record that is durably in the log;
// zero for an empty one. What wrote it may continue after it.
func (l *Log) Position() (uint64, error) {
	if l.shelf.isClosed() {
		return 0, ErrClosed
	}
	return l.position.Load(), nil
}

// Stats are figures of a log since it was opened.
type Stats struct {
	// Position of the last record.
	Position uint64
	// Days that have a file.
	Days int
	// DamagedFiles were set aside and DamagedRecords skipped.
	DamagedFiles, DamagedRecords int64
	// Repaired counts events that could not be written as JSON until what was
	// wrong with them was quoted or left out.
	Repaired int64
	// Unmatched counts events of readers, and of what came back by mail, whose
	// accepted event was not found.
	Unmatched int64
	// Repeated counts bounces, complaints and unsubscribes that had come by
	// mail before and were not written again.
	Repeated int64
}

// Stats returns the figures; it is cheap.
func (l *Log) Stats() Stats {
	days, damaged := l.shelf.figures()
	return Stats{
		Position: l.position.Load(), Days: days, DamagedFiles: damaged,
		DamagedRecords: l.damagedRecords.Load(), Repaired: l.repaired.Load(), Unmatched: l.unmatched.Load(), Repeated: l.repeated.Load(),
	}
}

// Close waits for what is under way and closes the files. Followers return
// ErrClosed.
func (l *Log) Close() error {
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.shelf.close()
	l.news.tell()
	return err
}

// news wakes whoever waits for records.
type news struct {
	mu   sync.Mutex
	next chan struct{}
}

func (n *news) init() { n.next = make(chan struct{}) }

// wait returns a channel that is closed by the next tell.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.next
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// dayLayout names day files, so that names sort by time.
const dayLayout = time.DateOnly

func dayName(t time.Time) string { return t.UTC().Format(dayLayout) }
