package sts

import (
	"errors"
	"io/fs"
	"os"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

// FileStore is a Store in one file of a folder that exists.
type FileStore struct {
	// Path of the file; beside it lie PATH.new for a moment and PATH.damaged
	// after SetAside.
	Path string
}

var _ Store = FileStore{}

// Load implements Store.
func (f FileStore) Load() ([]byte, error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Save implements Store: the new file is on disk, under its name, on return.
func (f FileStore) Save(document []byte) error { return datafolder.Replace(f.Path, document) }

// SetAside implements Store.
func (f FileStore) SetAside() error { return os.Rename(f.Path, f.Path+".damaged") }
