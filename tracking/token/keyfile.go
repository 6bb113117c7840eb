package token

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxKeyFile bounds a key file, in octets.
const maxKeyFile = 64 << 10

// ParseKeyFile reads the keys of a ring: a line each with an id and the base64
// of KeySize octets, the active key first; empty lines and lines that begin
// with # are comments. Errors name the line and never its content.
func ParseKeyFile(text []byte) (*Keyring, error) {
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%w: key file longer than %d octets", ErrKey, maxKeyFile)
	}
	keys := make(map[ID]Key)
	var active ID
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, key, err := parseKeyLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("line %d: %w: id %d occurs twice", number, ErrKey, id)
		}
		if len(keys) == 0 {
			active = id
		}
		keys[id] = key
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: a line is too long", ErrKey)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key in the file", ErrKey)
	}
	return NewKeyring(active, keys)
}

func parseKeyLine(line string) (ID, Key, error) {
	words := strings.Fields(line)
	if len(words) != 2 {
		return 0, Key{}, fmt.Errorf("%w: want an id and a key", ErrKey)
	}
	id, err := strconv.ParseUint(words[0], 10, 8)
	if err != nil || ID(id) > MaxID {
		return 0, Key{}, fmt.Errorf("%w: the id is no number from 0 to %d", ErrKey, MaxID)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(words[1])
	if err != nil {
		return 0, Key{}, fmt.Errorf("%w: the key is not base64", ErrKey)
	}
	key, err := MakeKey(secret)
	return ID(id), key, err
}

// WriteKeyLine writes one key as ParseKeyFile reads it. This is the only way
// by which a key leaves the process: keep what it writes readable to the
// daemon alone.
func WriteKeyLine(w io.Writer, id ID, k Key) error {
	if id > MaxID {
		return fmt.Errorf("%w: id %d is above %d", ErrKey, id, MaxID)
	}
	_, err := fmt.Fprintf(w, "%d %s\n", id, base64.StdEncoding.EncodeToString(k.secret[:]))
	return err
}
