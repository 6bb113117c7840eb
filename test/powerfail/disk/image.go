package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// File is what an image has under one name.
type File struct {
	Directory bool
	Data      []byte
}

// Image is a tree of files by their paths from the root, which is not in it.
type Image map[string]File

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
		var err error
		if file := i[name]; file.Directory {
			err = os.Mkdir(to, 0o700)
		} else {
			err = writeSparse(to, file.Data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeSparse writes a file and leaves out what is zeros.
func writeSparse(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(len(data)))
	var zeros [4096]byte
	for at := 0; at < len(data) && err == nil; at += len(zeros) {
		if block := data[at:min(at+len(zeros), len(data))]; !bytes.Equal(block, zeros[:len(block)]) {
			_, err = f.WriteAt(block, int64(at))
		}
	}
	return errors.Join(err, f.Close())
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
