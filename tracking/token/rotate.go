package token

import (
	"bytes"
	"fmt"
)

// ErrFull: a key file holds as many keys as there are ids.
var ErrFull = fmt.Errorf("%w: the file holds %d keys, the most there can be", ErrKey, int(MaxID)+1)

// Rotate returns a key file with a new key in front of those it has, which makes
// it the active one, and the new key's id. All else stays as it is. An error is
// one of ParseKeyFile's, or ErrFull.
func Rotate(text []byte, key Key) ([]byte, ID, error) {
	ring, err := ParseKeyFile(text)
	if err != nil {
		return nil, 0, err
	}
	id, ok := ring.unused()
	if !ok {
		return nil, 0, ErrFull
	}
	var line bytes.Buffer
	if err := WriteKeyLine(&line, id, key); err != nil {
		return nil, 0, err
	}
	at := firstKey(text)
	return bytes.Join([][]byte{text[:at], line.Bytes(), text[at:]}, nil), id, nil
}

// unused returns the id behind the greatest one in use, and then the smallest
// that is free: ids of keys that were removed come back late.
func (r *Keyring) unused() (ID, bool) {
	sealers := &r.keys.Load().sealers
	for id := int(MaxID); id >= 0; id-- {
		if sealers[id] != nil {
			if id < int(MaxID) {
				return ID(id) + 1, true
			}
			break
		}
	}
	for id, s := range sealers {
		if s == nil {
			return ID(id), true
		}
	}
	return 0, false
}

// firstKey is where the first line begins that is no comment.
func firstKey(text []byte) int {
	at := 0
	for line := range bytes.Lines(text) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			return at
		}
		at += len(line)
	}
	return at
}
