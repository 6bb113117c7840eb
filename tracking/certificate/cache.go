package certificate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/acme/autocert"

	"github.com/postrider-mta/postrider/internal/datafolder"
)

// folder keeps certificates, their keys and the account's, for the daemon's
// user alone.
type folder struct {
	path string
	// stored is told of each certificate's host.
	stored func(host string)
}

var _ autocert.Cache = (*folder)(nil)

// newFolder makes the folder, and closes one that others may read.
func newFolder(path string, stored func(string)) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, err
	}
	return &folder{path, stored}, nil
}

// file is where a name is kept. Names come from handshakes and requests too:
// those that no authority would have given have no file.
func (f *folder) file(name string) (string, bool) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+"
	if name == "" || name == ordersName || len(name) > 200 || name[0] == '.' || strings.Trim(name, letters) != "" {
		return "", false
	}
	return filepath.Join(f.path, name), true
}

// ordersName is what the orders are kept under, which no name of autocert's is.
const ordersName = "+orders"

// loadOrders returns what saveOrders kept; nil for nothing.
func (f *folder) loadOrders() ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(f.path, ordersName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

func (f *folder) saveOrders(content []byte) error {
	return datafolder.Replace(filepath.Join(f.path, ordersName), content)
}

// Get implements autocert.Cache.
func (f *folder) Get(_ context.Context, name string) ([]byte, error) {
	file, ok := f.file(name)
	if !ok {
		return nil, autocert.ErrCacheMiss
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, autocert.ErrCacheMiss
	}
	return content, err
}

// Put implements autocert.Cache.
func (f *folder) Put(_ context.Context, name string, content []byte) error {
	file, ok := f.file(name)
	if !ok {
		return fs.ErrInvalid
	}
	// autocert gives what belongs to the account and to challenges names with a
	// plus; that of a certificate is its host, or its host with +rsa.
	if host := strings.TrimSuffix(name, "+rsa"); !strings.Contains(host, "+") {
		f.stored(host)
	}
	return datafolder.Replace(file, content)
}

// Delete implements autocert.Cache.
func (f *folder) Delete(_ context.Context, name string) error {
	file, ok := f.file(name)
	if !ok {
		return nil
	}
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
