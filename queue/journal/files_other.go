//go:build !linux

package journal

import (
	"math"
	"os"
)

// directFlag: there is no such flag.
const directFlag = 0

// allocate returns memory.
func allocate(bytes int) ([]byte, error) { return make([]byte, bytes), nil }

func free([]byte) error { return nil }

func syncData(f *os.File) error { return f.Sync() }

// FreeBytes implements FileSystem; it is only measured on Linux.
func (OS) FreeBytes(string) (int64, error) { return math.MaxInt64, nil }

// DropCache implements FileSystem; here it does nothing.
func (OS) DropCache(string) error { return nil }
