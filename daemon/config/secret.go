package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// Secret is text that shows itself only to Reveal.
type Secret struct {
	// text is behind a pointer so that printing a struct that hides a Secret
	// in an unexported field shows an address.
	text *string
}

const redacted = "[redacted]"

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String hides the text.
func (Secret) String() string { return redacted }

// GoString hides the text.
func (Secret) GoString() string { return redacted }

// Format hides the text from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the text.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the text.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// SecretFile is the path of a file that holds a secret.
type SecretFile string

// maxSecret bounds a secret file: larger than any key, and small enough to
// notice a wrong path.
const maxSecret = 1 << 20

// ErrOpen: a secret's file can be read by everybody.
var ErrOpen = errors.New("readable by everybody")

// Read returns what is in the file, without the line end behind it. A file
// that others than its owner and group may open is refused.
func (f SecretFile) Read() (Secret, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return Secret{}, err
	}
	defer file.Close()
	if err := f.private(file); err != nil {
		return Secret{}, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return Secret{}, err
	}
	if len(data) > maxSecret {
		return Secret{}, fmt.Errorf("secret file %s is larger than %d octets", string(f), maxSecret)
	}
	return NewSecret(strings.TrimRight(string(data), "\r\n")), nil
}

func (f SecretFile) private(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "read", Path: string(f), Err: errors.New("is a directory")}
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("secret file %s is %w: run chmod o-rwx %s", string(f), ErrOpen, string(f))
	}
	return nil
}

// fileReference is a file that the configuration names. check opens it.
type fileReference struct {
	place place
	check func() error
}

func checkReadable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

func checkSecret(path string) error {
	_, err := SecretFile(path).Read()
	return err
}

func checkHashFile(path string) error {
	_, err := (&Credential{PasswordHashFile: SecretFile(path)}).Hash()
	return err
}
