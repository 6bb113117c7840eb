package offline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

// StoreReport says what is wrong with the queue's files.
type StoreReport struct {
	// Folder is the data folder.
	Folder string `json:"folder"`
	// Queues, Messages and Recipients owed as queue.db has it.
	Queues     int64 `json:"queues"`
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	// LostBodies are of messages whose content the journal does not give.
	LostBodies int64 `json:"lost_bodies"`
	// Problems of queue.db in words; none where it is whole.
	Problems []string `json:"problems"`
}

// Whole reports that nothing is wrong.
func (r *StoreReport) Whole() bool { return len(r.Problems) == 0 && r.LostBodies == 0 }

// CheckStore reads the queue's files in the data folder that a configuration
// file names, and changes none. It refuses while a daemon has them open.
func CheckStore(ctx context.Context, file string) (report StoreReport, err error) {
	err = withFolder(file, func(c *config.Config) error {
		report, err = checkFolder(ctx, c.DataDir)
		return err
	})
	return report, err
}

// withFolder works on the data folder of a configuration while nobody else
// does.
func withFolder(file string, work func(*config.Config) error) error {
	c, err := config.Load(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	lock, err := datafolder.Lock(c.DataDir)
	if errors.Is(err, datafolder.ErrInUse) {
		return fmt.Errorf("%w: stop it first", err)
	}
	if err != nil {
		return err
	}
	return errors.Join(work(c), lock.Close())
}

func checkFolder(ctx context.Context, folder string) (StoreReport, error) {
	found, err := boltqueue.Inspect(ctx, folder)
	report := StoreReport{
		Folder: folder, Queues: found.Queues, Messages: found.Messages, Recipients: found.Recipients,
		LostBodies: found.Bodies, Problems: found.Problems,
	}
	if report.Problems == nil {
		report.Problems = []string{}
	}
	return report, err
}

// RebuildReport says what a rebuild found.
type RebuildReport struct {
	// Folder is the data folder, and Kept the path of the queue.db before;
	// empty if there was none.
	Folder string `json:"folder"`
	Kept   string `json:"kept,omitempty"`
	// Segments and Records of the journal that were read, Damaged stretches of
	// it that were set aside, and NotUnderstood records.
	Segments      int   `json:"segments"`
	Records       int64 `json:"records"`
	Damaged       int64 `json:"damaged"`
	NotUnderstood int64 `json:"not_understood"`
	// Messages and Recipients owed now, and Holds in force.
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	Holds      int   `json:"holds"`
	// Ended are recipients of whose end only the events told.
	Ended int64 `json:"ended"`
	// RulesKnown: the old queue.db told which holds and cancels there were.
	RulesKnown bool `json:"rules_known"`
	// DamagedEvents are day files and events that could not be read: what they
	// told of is owed again.
	DamagedEvents int64 `json:"damaged_events"`
}

// ErrWhole: there is nothing to rebuild.
var ErrWhole = errors.New("queue.db is whole: there is nothing to rebuild")

// RebuildStore makes queue.db anew from the journal and the events, and keeps
// the one before. It refuses while a daemon runs and, unless forced, where
// queue.db is whole.
func RebuildStore(ctx context.Context, file string, force bool) (report RebuildReport, err error) {
	err = withFolder(file, func(c *config.Config) error {
		if found, err := checkFolder(ctx, c.DataDir); !force && err == nil && len(found.Problems) == 0 {
			return ErrWhole
		}
		report, err = rebuildFolder(ctx, c)
		return err
	})
	return report, err
}

func rebuildFolder(ctx context.Context, c *config.Config) (RebuildReport, error) {
	events, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(c.DataDir, "events")})
	if err != nil {
		return RebuildReport{}, err
	}
	found, err := boltqueue.Rebuild(ctx, boltqueue.Options{
		Dir: c.DataDir, Events: events, SegmentBytes: int64(c.Queue.SegmentSize),
	}, func(each func(event.Event) error) error { return readAll(ctx, events, each) })
	stats := events.Stats()
	report := RebuildReport{
		Folder: c.DataDir, Kept: found.Kept, Segments: found.Segments, Records: found.Records, Damaged: found.Damaged,
		NotUnderstood: found.NotUnderstood, Messages: found.Messages, Recipients: found.Recipients,
		Holds: found.Holds, Ended: found.Ended, RulesKnown: found.RulesKnown,
		DamagedEvents: stats.DamagedFiles + stats.DamagedRecords,
	}
	return report, errors.Join(err, events.Close())
}

// readBatch is how many events are read at once.
const readBatch = 1000

func readAll(ctx context.Context, events *eventlog.Log, each func(event.Event) error) error {
	for after := uint64(0); after < math.MaxUint64; {
		records, err := events.Read(ctx, after, readBatch)
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			if err := each(records[i].Event); err != nil {
				return err
			}
		}
		after = records[len(records)-1].Position
	}
	return nil
}
