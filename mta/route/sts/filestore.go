package sts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
func (f FileStore) Save(document []byte) error {
	if err := writeSynced(f.Path+".new", document); err != nil {
		return err
	}
	if err := os.Rename(f.Path+".new", f.Path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.Path))
}

// SetAside implements Store.
func (f FileStore) SetAside() error { return os.Rename(f.Path, f.Path+".damaged") }

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Sync(); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

// syncFolder makes the new name last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := folder.Sync(); err != nil {
		return errors.Join(fmt.Errorf("folder: %w", err), folder.Close())
	}
	return folder.Close()
}
