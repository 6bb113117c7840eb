package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync: the time stamps need not follow.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// DropCache implements FileSystem.
func (OS) DropCache(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return errors.Join(os.NewSyscallError("fadvise", err), f.Close())
}

// FreeBytes implements FileSystem.
func (OS) FreeBytes(name string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
