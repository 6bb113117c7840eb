package main

import (
	"io"
	"os"
)

// isTerminal reports whether what is written is seen by somebody.
func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// watchKeys calls stop when q is typed on a terminal. The reader lives as long
// as the process, as nothing ends a read of a terminal.
func watchKeys(in io.Reader, stop func()) (restore func()) {
	file, ok := in.(*os.File)
	if !ok || !isTerminal(file) {
		return func() {}
	}
	restore = readKeys(file)
	go func() {
		for key := make([]byte, 1); ; {
			if n, err := file.Read(key); err != nil || n == 0 {
				return // there will be no key; Ctrl-C is a signal
			}
			if key[0] == 'q' || key[0] == 'Q' {
				stop()
				return
			}
		}
	}()
	return restore
}
