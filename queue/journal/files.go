package journal

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FileSystem is what the journal asks of the operating system. Tests inject
// faults here.
type FileSystem interface {
	// OpenFile is os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Remove is os.Remove.
	Remove(name string) error
	// Rename is os.Rename.
	Rename(from, to string) error
	// DropCache lets the operating system forget the file's octets in memory.
	DropCache(name string) error
	// ReadDir is os.ReadDir.
	ReadDir(name string) ([]fs.DirEntry, error)
	// MakeDir creates a directory and makes its entry durable; one that exists
	// is no error.
	MakeDir(name string) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
	// FreeBytes returns how much an unprivileged user may still write there.
	FreeBytes(name string) (int64, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content durable, and of the metadata what is needed to
	// read it.
	Sync() error
	// Truncate sets the length in octets.
	Truncate(size int64) error
	// Stat is os.File.Stat.
	Stat() (fs.FileInfo, error)
}

// OS is the file system of the operating system.
type OS struct{}

var _ FileSystem = OS{}

// OpenFile implements FileSystem.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Remove implements FileSystem.
func (OS) Remove(name string) error { return os.Remove(name) }

// Rename implements FileSystem.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// ReadDir implements FileSystem.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// MakeDir implements FileSystem.
func (o OS) MakeDir(name string) error {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return err
	}
	return o.SyncDir(filepath.Dir(name))
}

// SyncDir implements FileSystem.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return syncData(f.File) }
