package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// directFlag is the flag of a file whose octets pass by the page cache.
const directFlag = unix.O_DIRECT

// allocate returns memory outside the collector's heap, whose pace it would
// change. It begins with a page, and takes none until it is used. Huge pages,
// if there are any, spare the disk a request for each small one.
func allocate(bytes int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // small ones do as well
	return memory, nil
}

// free gives back what allocate returned.
func free(memory []byte) error {
	if memory == nil {
		return nil
	}
	return os.NewSyscallError("munmap", unix.Munmap(memory))
}

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
