package boltqueue

import (
	"context"
	"log/slog"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// EventLog receives every event in order. Append may see a record twice after
// a crash unless it keeps the position together with the events.
type EventLog interface {
	// Append stores the records and the last one's position atomically.
	Append(ctx context.Context, records []event.Record) error
	// Position returns the highest position stored; zero for none. Records at
	// or below it are not given again.
	Position() (uint64, error)
}

// Options configure a store. Zero fields mean the defaults.
type Options struct {
	// Dir is the data folder: it holds journal/ and queue.db.
	Dir string
	// Events receives the events; nil discards them.
	Events EventLog
	// Logger is told of damage and faults; nil discards.
	Logger *slog.Logger

	// SegmentBytes is the length of a journal segment; default 64 MiB.
	SegmentBytes int64
	// SpareSegments is how many freed segments are kept to be written again,
	// which syncs much faster; default 4, negative for none. They go when the
	// store is closed, after a while without new segments, and at an erasure.
	SpareSegments int
	// RecentBytes is memory for what the journal wrote last, of which bodies are
	// read back; default 16 MiB, negative for none.
	RecentBytes int
	// CheckpointBytes of journal, CheckpointChanges of recipients or
	// CheckpointInterval, whichever comes first, cause a checkpoint; defaults
	// 32 MiB, 20,000 and 5 s.
	CheckpointBytes    int64
	CheckpointChanges  int
	CheckpointInterval time.Duration
	// CheckpointPages is how many pages of queue.db one transaction of a
	// checkpoint changes, about: it holds them in memory. Default 2,048.
	CheckpointPages int
	// MinFree is what must stay free on the file system; default 64 MiB,
	// negative for none.
	MinFree int64
	// MaxBytes bounds the journal and queue.db together, free pages not
	// counted; default none.
	MaxBytes int64
	// RestartDelay bounds the random time that what was due waits after a
	// crash; default 5 s, negative for none.
	RestartDelay time.Duration
	// HeadLength is how many due recipients of a queue are read ahead and
	// HeadTotal how many of all queues; defaults 1,000 and 20,000.
	HeadLength, HeadTotal int
	// EventDelay is how long events are collected before they are given on,
	// and EventBatch how many at most at once; defaults 50 ms and 2,000.
	EventDelay time.Duration
	EventBatch int
	// SparseShare is the live share of an old segment below which its
	// survivors are copied forward; default 0.1, negative for never.
	SparseShare float64
	// CompactFreeShare of free pages in queue.db, if they are at least
	// CompactMinBytes, causes it to be written anew; defaults 0.75, negative
	// for never, and 64 MiB.
	CompactFreeShare float64
	CompactMinBytes  int64
	// RetryPause is how long nothing is tried after a failed write; default
	// 250 ms, negative for none.
	RetryPause time.Duration
	// Opens returns when a queue may next be offered, as of now; a time that is
	// not after now, or zero, if it may at once. What has expired is offered all
	// the same. It is asked often, and quick; nil for always.
	Opens func(key queue.Key, now time.Time) time.Time
	// RecheckInterval is how long a due recipient that is held alone is set
	// aside at least before it is looked at again; default 5 minutes. It doubles
	// with each look, up to 6 hours.
	RecheckInterval time.Duration
	// Now is the wall clock; nil for time.Now.
	Now func() time.Time
	// Files is the file system of the journal; nil for the real one.
	Files journal.FileSystem
}

func (o Options) withDefaults() Options {
	setDefault(&o.SpareSegments, 4)
	setDefault(&o.CheckpointBytes, 32<<20)
	setDefault(&o.CheckpointChanges, 20_000)
	setDefault(&o.CheckpointInterval, 5*time.Second)
	setDefault(&o.CheckpointPages, 2048)
	setDefault(&o.MinFree, 64<<20)
	setDefault(&o.RestartDelay, 5*time.Second)
	setDefault(&o.HeadLength, 1000)
	setDefault(&o.HeadTotal, 20_000)
	setDefault(&o.EventDelay, 50*time.Millisecond)
	setDefault(&o.EventBatch, 2000)
	setDefault(&o.SparseShare, 0.1)
	setDefault(&o.CompactFreeShare, 0.75)
	setDefault(&o.CompactMinBytes, 64<<20)
	setDefault(&o.RecheckInterval, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Files == nil {
		o.Files = journal.OS{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | float64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
