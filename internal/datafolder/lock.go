// Package datafolder keeps a data folder to one process at a time, and makes
// what changes in it last.
package datafolder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file in the folder whose lock stands for all of it.
const lockName = "lock"

// ErrInUse: another process has the folder.
var ErrInUse = errors.New("in use by another daemon")

// Lock keeps every other process out of a folder until the lock is closed; the
// system takes it back however the process ends. Where another has it, that is
// ErrInUse at once.
func Lock(dir string) (io.Closer, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is %w", dir, ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
