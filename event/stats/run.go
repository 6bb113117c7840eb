package stats

import (
	"context"
	"errors"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// Source is the log of events; event/log has it.
type Source interface {
	Position() (uint64, error)
	Read(ctx context.Context, after uint64, limit int) ([]event.Record, error)
	Follow(ctx context.Context, after uint64, handle func([]event.Record) error) error
}

const (
	// batchRecords bounds what is counted in one transaction, and held for it.
	batchRecords = 5000
	// firstPause and longestPause bound the pauses after a failure to write.
	firstPause   = time.Second
	longestPause = time.Minute
)

// errNews ends a wait for events.
var errNews = errors.New("there are events")

// Run counts what there is and what comes until ctx ends, and returns nil then,
// or what the log fails with. While nothing can be written it tries again: the
// events wait in the log.
func (s *Store) Run(ctx context.Context, log Source) error {
	if err := s.compare(log); err != nil {
		return err
	}
	for {
		err := log.Follow(ctx, s.cursor.Load(), func([]event.Record) error { return errNews })
		if errors.Is(err, errNews) && wait(ctx, s.options.Pause) {
			err = s.catchUp(ctx, log)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, errNews):
			return err
		}
	}
}

// compare warns of a log that is older than what was counted of it.
func (s *Store) compare(log Source) error {
	position, err := log.Position()
	if err != nil {
		return err
	}
	if cursor := s.cursor.Load(); cursor > position {
		s.options.Logger.Warn("statistics are ahead of the event log and count nothing until it has passed them; "+
			"if the log was begun anew, move them away", "file", s.options.Path, "position", cursor, "log", position)
	}
	return nil
}

// catchUp counts all that there is.
func (s *Store) catchUp(ctx context.Context, log Source) error {
	for {
		records, err := log.Read(ctx, s.cursor.Load(), batchRecords)
		if err != nil || len(records) == 0 {
			return err
		}
		if !s.insist(ctx, records) {
			return ctx.Err()
		}
	}
}

// insist counts records, however long it takes, unless ctx ends.
func (s *Store) insist(ctx context.Context, records []event.Record) bool {
	failed := false
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := s.count(records)
		if err == nil {
			if failed {
				s.options.Logger.Info("statistics are written again")
			}
			return true
		}
		if !failed {
			failed = true
			s.options.Logger.Error("statistics cannot be written; events are counted later", "error", err)
		}
		if !wait(ctx, pause) {
			return false
		}
	}
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
