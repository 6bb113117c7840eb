package powerfail

import (
	"context"
	"io/fs"

	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/queue/journal"
)

// careless is a file system on which some syncs do nothing.
type careless struct {
	journal.FileSystem
	flaw Flaw
}

// OpenFile implements journal.FileSystem.
func (c careless) OpenFile(name string, flag int, perm fs.FileMode) (journal.File, error) {
	f, err := c.FileSystem.OpenFile(name, flag, perm)
	if err != nil || c.flaw != NoSync {
		return f, err
	}
	return unsynced{f}, nil
}

// SyncDir implements journal.FileSystem.
func (c careless) SyncDir(name string) error {
	if c.flaw == NoDirectorySync {
		return nil
	}
	return c.FileSystem.SyncDir(name)
}

type unsynced struct{ journal.File }

func (unsynced) Sync() error { return nil }

// forgetful is an event log that writes what it gets much later than it says.
type forgetful struct {
	*eventlog.Log
	held []event.Record
}

// holdBack is how many records a forgetful log keeps to itself.
const holdBack = 300

// Append keeps the records until there are many.
func (f *forgetful) Append(ctx context.Context, records []event.Record) error {
	f.held = append(f.held, records...)
	if len(f.held) < holdBack {
		return nil
	}
	held := f.held
	f.held = nil
	return f.Log.Append(ctx, held)
}
