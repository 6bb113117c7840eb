package boltguard

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockPause is how often a lock that another holds is tried for.
const lockPause = 20 * time.Millisecond

// Open opens an existing file; it never makes one. options are bbolt's, of
// which OpenFile is not heeded; nil for the default. A file that is not whole
// as far as that can be seen at once gives ErrDamaged, one that another process
// holds bbolt's ErrTimeout. Errors name the file.
func Open(path string, options *bolt.Options) (*DB, error) {
	own := bolt.Options{}
	if options != nil {
		own = *options
	}
	file, err := openLocked(path, &own)
	if err != nil {
		return nil, named(path, err)
	}
	db, err := open(file, own)
	if err != nil {
		_ = release(file) // bbolt may have done so
		return nil, named(path, asDamage(err))
	}
	return &DB{DB: db, file: file, head: make([]byte, 2*db.Info().PageSize)}, nil
}

// release closes a file that a mapping may keep, and with it the lock.
func release(file *os.File) error {
	return errors.Join(os.NewSyscallError("flock", syscall.Flock(int(file.Fd()), syscall.LOCK_UN)), file.Close())
}

func named(path string, err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) && pathError.Path == path {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// openLocked opens the file and locks it as bbolt would: the lock belongs to
// the open file, so that bbolt finds it taken by itself.
func openLocked(path string, o *bolt.Options) (*os.File, error) {
	flag, lock := os.O_RDWR, syscall.LOCK_EX
	if o.ReadOnly {
		flag, lock = os.O_RDONLY, syscall.LOCK_SH
	}
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(file.Fd()), lock|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
		}
		if o.Timeout > 0 && time.Since(begin) >= o.Timeout {
			return nil, errors.Join(bolterrors.ErrTimeout, file.Close())
		}
	}
}

func open(file *os.File, o bolt.Options) (*bolt.DB, error) {
	m, err := inspect(file)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := renew(file); err != nil {
			return nil, err
		}
		// Without a list of free pages bbolt looks at all others, in a goroutine
		// of its own, whose panics nobody can catch.
		if m.freelist == noFreelist {
			if err := scanFile(file); err != nil {
				return nil, err
			}
		}
	}
	o.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return file, nil }
	var db *bolt.DB
	err = Run(func() (err error) {
		db, err = bolt.Open(file.Name(), 0, &o)
		return err
	})
	return db, err
}

// Check reads all pages in use of a file that nobody changes meanwhile. It
// returns an ErrDamaged that names the first that is not as bbolt writes them;
// what the values say it does not know.
func Check(path string) error {
	file, err := openLocked(path, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return named(path, err)
	}
	_, err = inspect(file)
	if err == nil {
		err = scanFile(file)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return named(path, asDamage(err))
	}
	return nil
}
