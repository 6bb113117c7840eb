package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/postrider-mta/postrider/daemon/config"
)

// lockData keeps every other daemon out of the data folder. The system takes
// the lock back however the process ends.
func (d *daemon) lockData(c *config.Config) error {
	file, err := os.OpenFile(filepath.Join(c.DataDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by another daemon", c.DataDir)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.cleanups.add("data folder", func(context.Context) error { return file.Close() })
	return nil
}
