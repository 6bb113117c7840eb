package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// keeper writes messages into a directory. File names are numbers: an address
// never becomes part of one.
type keeper struct {
	dir  string
	last atomic.Int64
}

// envelope is the JSON beside a kept message.
type envelope struct {
	Time       time.Time   `json:"time"`
	Remote     string      `json:"remote"`
	Hello      string      `json:"hello"`
	User       string      `json:"user,omitempty"`
	TLS        bool        `json:"tls"`
	From       string      `json:"from"`
	Parameters []string    `json:"parameters,omitempty"`
	Recipients []recipient `json:"recipients"`
	Size       int64       `json:"size"`
}

type recipient struct {
	Address    string   `json:"address"`
	Parameters []string `json:"parameters,omitempty"`
}

// openKeeper goes on behind the highest number in dir.
func openKeeper(dir string) (*keeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory for messages: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory for messages: %w", err)
	}
	k := &keeper{dir: dir}
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry.Name(), ".")
		if n, err := strconv.ParseInt(name, 10, 64); err == nil && n > k.last.Load() {
			k.last.Store(n)
		}
	}
	return k, nil
}

// keep writes the message, then its envelope under a name that appears at
// once: whoever sees the envelope can read both.
func (k *keeper) keep(m *testmx.Message) error {
	base := filepath.Join(k.dir, fmt.Sprintf("%08d", k.last.Add(1)))
	if err := os.WriteFile(base+".eml", m.Data, 0o600); err != nil {
		return err
	}
	text, err := json.Marshal(describe(m))
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+".tmp", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(base+".tmp", base+".json")
}

func describe(m *testmx.Message) envelope {
	e := envelope{
		Time: m.Time.UTC(), Remote: m.Remote.String(), Hello: m.Hello, User: m.User, TLS: m.TLS != nil,
		From: m.From, Parameters: m.Parameters, Size: m.Size,
	}
	for _, r := range m.Recipients {
		e.Recipients = append(e.Recipients, recipient(r))
	}
	return e
}
