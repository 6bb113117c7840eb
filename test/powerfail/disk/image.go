package disk

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// File is what an image has under one name.
type File struct {
	Kind Kind
	// Data is followed by so many Zeros.
	Data  []byte
	Zeros int64
}

// Size is the length in octets.
func (f File) Size() int64 { return int64(len(f.Data)) + f.Zeros }

// Image is a tree of files by their paths from the root, which is not in it.
type Image map[string]File

// Whole returns all of the content.
func (f File) Whole() []byte {
	return append(f.Data[:len(f.Data):len(f.Data)], make([]byte, f.Zeros)...)
}

// order returns the paths, each directory before what is in it.
func (i Image) order() []string {
	all := make([]string, 0, len(i))
	for name := range i {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Store writes the image into an empty folder.
func (i Image) Store(folder string) error {
	for _, name := range i.order() {
		to := filepath.Join(folder, filepath.FromSlash(name))
		if err := i[name].store(to); err != nil {
			return err
		}
	}
	return nil
}

func (f File) store(name string) error {
	switch f.Kind {
	case Directory:
		return os.Mkdir(name, 0o700)
	case Socket:
		return bindAndLeave(name)
	}
	return f.writeSparse(name)
}

// bindAndLeave leaves a socket as a process does that was cut short.
func bindAndLeave(name string) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	return listener.Close()
}

// writeSparse writes a file and leaves out what is zeros.
func (f File) writeSparse(name string) error {
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	data := f.Data
	err = to.Truncate(f.Size())
	var zeros [4096]byte
	for at := 0; at < len(data) && err == nil; at += len(zeros) {
		if block := data[at:min(at+len(zeros), len(data))]; !bytes.Equal(block, zeros[:len(block)]) {
			_, err = to.WriteAt(block, int64(at))
		}
	}
	return errors.Join(err, to.Close())
}

// Clone copies the image with its content.
func (i Image) Clone() Image {
	own := make(Image, len(i))
	for name, file := range i {
		file.Data = slices.Clone(file.Data)
		own[name] = file
	}
	return own
}
