//go:build !linux

package journal

import (
	"math"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

// FreeBytes implements FileSystem; it is only measured on Linux.
func (OS) FreeBytes(string) (int64, error) { return math.MaxInt64, nil }

// DropCache implements FileSystem; here it does nothing.
func (OS) DropCache(string) error { return nil }
