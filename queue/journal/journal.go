package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of the journal. Callers test for them with errors.Is.
var (
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrTooLarge: a payload is longer than MaxRecord.
	ErrTooLarge = errors.New("record is too large for the journal")
	// ErrDamaged: the bytes at a position are not the record written there.
	ErrDamaged = errors.New("journal record is damaged")
	// ErrFault is wrapped by every failed append, beside its cause.
	ErrFault = errors.New("journal cannot be written")
)

const (
	defaultSegmentBytes = 64 << 20
	defaultRetryPause   = 250 * time.Millisecond
	// maxGroup bounds the memory of one write.
	maxGroup = 8 << 20
)

// Options configure a journal.
type Options struct {
	// Dir holds the segments; it is created if need be.
	Dir string
	// SegmentBytes is the length at which a segment is full; zero for 64 MiB.
	// A larger record gets a segment of its own.
	SegmentBytes int64
	// RetryPause is how long appends fail at once after a failed write before
	// a fresh segment is tried; zero for 250 ms, negative for none.
	RetryPause time.Duration
	// After is a position that others remember, such as a checkpoint's: new
	// segments are numbered above it even if the journal was lost.
	After Position
	// Spares is how many freed segments are kept to be written again, which
	// syncs much faster than a file that grows; zero for none.
	Spares int
	// RecentBytes is memory for what was written last: it is read from there,
	// and spares are written past the page cache as long as that suffices. Zero
	// for 16 MiB, negative for none.
	RecentBytes int
	// Salt is a secret that goes into all checksums, so that nobody can hand in
	// bytes that pass for a record. Zero: the one that the segments have, or a
	// new one.
	Salt uint32
	// Scanned is where a Scan will begin: Replay looks for missing segments
	// from there on. Zero: where the replay begins.
	Scanned Position
	// Committed, if set, is called with each durable group in order, one at a
	// time, before its writers are answered. At most the group behind it is
	// written meanwhile: it should be short.
	Committed func(group []*Write)
	// Files is the file system; nil for the real one.
	Files FileSystem
	// Logger is told of damage; nil discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.RecentBytes == 0 {
		o.RecentBytes = recentBytes
	}
	o.SegmentBytes = min(o.SegmentBytes, MaxRecord)
	if o.RetryPause == 0 {
		o.RetryPause = defaultRetryPause
	}
	if o.Files == nil {
		o.Files = OS{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Write is one record on its way. Its payload is Head and Body joined; neither
// is kept after Append returns.
type Write struct {
	Kind       byte
	Head, Body []byte
	// Value is the caller's: Committed finds it here.
	Value any
	// Position and End are set before Committed sees the write: where the
	// record lies and where the next one begins.
	Position, End Position

	sum  uint32
	done chan error
}

func (w *Write) length() int { return len(w.Head) + len(w.Body) }

// Journal is open segments and their committer. It is safe for concurrent use.
type Journal struct {
	options Options

	mu      sync.Mutex // guards pending and closed
	pending []*Write
	closed  bool
	// pendingBytes is what the pending will take in the segment.
	pendingBytes atomic.Int64

	wake chan struct{}
	done chan struct{}
	// answering is the group that was written last.
	answering sync.WaitGroup
	// answers are channels to answer a Write on; nothing is under way on them.
	answers sync.Pool

	committer committer
	segments  segmentTable
	spares    spares
	recent    recent
	salt      uint32
	handles   handleCache

	end            atomic.Uint64
	syncs, records atomic.Int64
	damaged        atomic.Int64
	fault          atomic.Pointer[error]
}

// Open lists the segments and starts the committer. Nothing is read: a caller
// that has a past calls Replay before it appends.
func Open(o Options) (*Journal, error) {
	j := &Journal{
		options: o.withDefaults(),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		answers: sync.Pool{New: func() any { return make(chan error, 1) }},
	}
	if err := j.options.Files.MakeDir(j.options.Dir); err != nil {
		return nil, fmt.Errorf("create journal folder: %w", err)
	}
	if err := j.segments.load(j.options.Files, j.options.Dir); err != nil {
		return nil, err
	}
	j.handles.open = j.openSegment
	last, size := j.segments.last()
	j.committer.number = max(last, o.After.Segment())
	j.spares = spares{most: j.options.Spares, newest: j.committer.number, above: j.committer.number}
	if err := j.removeLeftSpares(); err != nil {
		return nil, err
	}
	j.findSalt()
	if err := j.recent.open(j.options.RecentBytes); err != nil {
		return nil, fmt.Errorf("take memory for the journal: %w", err)
	}
	j.committer.previous = segmentHeader{previous: last, previousEnd: uint32(size)}
	j.end.Store(uint64(max(MakePosition(last, uint32(size)), o.After)))
	go j.run()
	return j, nil
}

// Append makes the record durable before it returns nil. On an error nothing
// was written that a later reading would find; the one exception is a process
// that dies before the failed bytes could be cut off or superseded.
func (j *Journal) Append(ctx context.Context, w *Write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.length() > MaxRecord-recordHeaderSize {
		return ErrTooLarge
	}
	w.sum = checksum(checksum(0, w.Head), w.Body)
	w.done = j.answers.Get().(chan error)
	defer j.answers.Put(w.done)
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.pending = append(j.pending, w)
	j.pendingBytes.Add(recordSize(w.length()))
	j.mu.Unlock()
	j.signal()
	return <-w.done
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Drain writes what is waiting and stops the committer; the journal can still
// be read.
func (j *Journal) Drain() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.signal()
	<-j.done
}

// Close drains the journal, if that was not done, and closes its files.
func (j *Journal) Close() error {
	j.Drain()
	return errors.Join(j.handles.closeAll(), j.recent.close())
}

// End returns the position behind the last durable record.
func (j *Journal) End() Position { return Position(j.end.Load()) }

// Fault returns why the last write failed; nil while all is well.
func (j *Journal) Fault() error {
	if p := j.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// Stats are figures of the journal.
type Stats struct {
	// Bytes and Segments on disk.
	Bytes    int64
	Segments int
	// SpareBytes are of segments kept to be written again.
	SpareBytes int64
	// Syncs and Records written since Open.
	Syncs, Records int64
	// Damaged counts the stretches of bytes set aside since Open.
	Damaged int64
}

// Stats returns the figures; it is cheap.
func (j *Journal) Stats() Stats {
	bytes, count := j.segments.total()
	return Stats{
		Bytes: bytes, Segments: count, SpareBytes: j.spares.bytes(),
		Syncs: j.syncs.Load(), Records: j.records.Load(), Damaged: j.damaged.Load(),
	}
}

// Salt returns what goes into the checksums.
func (j *Journal) Salt() uint32 { return j.salt }

// findSalt takes the salt from the newest segment that tells it, or makes one.
func (j *Journal) findSalt() {
	j.salt = j.options.Salt
	all := j.segments.list()
	for i := len(all) - 1; i >= 0 && j.salt == 0; i-- {
		if header, ok, err := j.readHeader(all[i].Number); err == nil && ok {
			j.salt = header.salt
		}
	}
	for j.salt == 0 {
		j.salt = rand.Uint32()
	}
}

// Segment is one segment on disk.
type Segment struct {
	Number uint32
	Bytes  int64
}

// Segments returns what is on disk, in order.
func (j *Journal) Segments() []Segment { return j.segments.list() }

// Remove unlinks a segment that is no longer needed, or makes it a spare. The
// one being written stays, as does one whose damage could not be copied aside.
func (j *Journal) Remove(number uint32) error {
	if !j.segments.removable(number) {
		return fmt.Errorf("segment %08d is in use", number)
	}
	inUse, err := j.handles.drop(number)
	if err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	if spare := j.spareOf(number); !inUse && j.spares.wants(spare) {
		err = j.recycle(spare)
	} else {
		err = j.options.Files.Remove(j.path(number))
	}
	if err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	j.segments.remove(number)
	j.recent.forgetSegment(number)
	return nil
}

func (j *Journal) path(number uint32) string {
	return filepath.Join(j.options.Dir, segmentName(number))
}

// take returns the writes to go into one group, in the order they came.
// bytes is what they take in the segment.
func (j *Journal) take() (group []*Write, bytes int64, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	limit := min(maxGroup, j.options.SegmentBytes)
	n := 0
	for n < len(j.pending) {
		one := recordSize(j.pending[n].length())
		if n > 0 && bytes+one > limit {
			break
		}
		bytes += one
		n++
	}
	j.pendingBytes.Add(-bytes)
	if n == len(j.pending) {
		group, j.pending = j.pending, nil
	} else {
		group, j.pending = j.pending[:n:n], slices.Clone(j.pending[n:])
	}
	return group, bytes, j.closed && n == 0
}
