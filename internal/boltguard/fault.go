package boltguard

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged: a file is not what was written.
var ErrDamaged = errors.New("database file is damaged")

// Fault is an ErrDamaged that interrupted bbolt.
type Fault struct {
	// Cause is what bbolt or the run-time system panicked with.
	Cause any
}

// Error implements error.
func (f *Fault) Error() string { return fmt.Sprintf("%v: %v", ErrDamaged, f.Cause) }

// Is makes a Fault an ErrDamaged.
func (f *Fault) Is(target error) bool { return target == ErrDamaged }

// Run calls what reads a memory-mapped file. A panic in it becomes a *Fault, as
// does reading where the file ends or the disk gives nothing.
func Run(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &Fault{cause}
		}
	}()
	return read()
}

func isFault(err error) bool {
	var f *Fault
	return errors.As(err, &f)
}

// asDamage tells a file that is wrong from one that cannot be had now.
func asDamage(err error) error {
	for _, sign := range []error{
		bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch, io.ErrUnexpectedEOF, io.EOF,
	} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}
