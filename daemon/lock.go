package daemon

import (
	"context"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/datafolder"
)

// lockData keeps every other daemon out of the data folder.
func (d *daemon) lockData(c *config.Config) error {
	lock, err := datafolder.Lock(c.DataDir)
	if err != nil {
		return err
	}
	d.cleanups.add("data folder", func(context.Context) error { return lock.Close() })
	return nil
}
