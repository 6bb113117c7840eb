package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/postrider-mta/postrider/daemon/config"
)

// maxSocketPath is what the address of a unix socket has room for (unix(7)).
const maxSocketPath = 107

// listen opens an address of the configuration; mode is for unix sockets.
func listen(address string, mode fs.FileMode) (net.Listener, error) {
	network, target := config.Network(address)
	if network != "unix" {
		return net.Listen(network, target)
	}
	return listenUnix(target, mode)
}

// listenUnix opens a socket that at no moment more may use than mode allows.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s: a socket's path has at most %d octets", path, maxSocketPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	listener, err := bindUnix(path, mode)
	if err != nil {
		return nil, err
	}
	// The umask took bits away, and only Linux heeds the mode given before.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// bindUnix gives the socket its permissions before it gets its name, so that
// nobody can open it in between.
func bindUnix(path string, mode fs.FileMode) (net.Listener, error) {
	restrict := func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(descriptor uintptr) {
			// What cannot do this is left to the Chmod that follows.
			_ = syscall.Fchmod(int(descriptor), uint32(mode.Perm()))
		})
	}
	binder := net.ListenConfig{Control: restrict}
	return binder.Listen(context.Background(), "unix", path)
}

// removeStale removes a socket that nobody listens on: it is left over from a
// crash. Anything else in the way is an error.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	connection, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%s: another process answers there", path), connection.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return err
	}
}
