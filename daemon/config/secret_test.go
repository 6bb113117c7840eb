package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretHides tries every way in which a value ends up in text.
func TestSecretHides(t *testing.T) {
	const text = "hunter2"
	secret := NewSecret(text)
	hidden := struct{ inner Secret }{secret}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T"} {
		fmt.Fprintf(&out, verb+"\n", secret)
		fmt.Fprintf(&out, verb+"\n", &secret)
		fmt.Fprintf(&out, verb+"\n", hidden)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", secret, "in", hidden)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", secret, "in", hidden)
	encoded, err := json.Marshal(struct{ Secret Secret }{secret})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	out.WriteString(secret.String() + secret.GoString())
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.Trim(fmt.Sprint([]byte(text)), "[]")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s in\n%s", form, out.String())
		}
	}
	if secret.Reveal() != text || (Secret{}).Reveal() != "" {
		t.Error("Reveal")
	}
}

func write(t *testing.T, name, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSecretFileRead(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good"), " hunter2 \r\n", 0o640)
	if s, err := SecretFile(good).Read(); err != nil || s.Reveal() != " hunter2 " {
		t.Error(s.Reveal(), err)
	}
	open := write(t, filepath.Join(dir, "open"), "hunter2", 0o644)
	if _, err := SecretFile(open).Read(); !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), "chmod o-rwx "+open) {
		t.Error(err)
	}
	large := write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxSecret+1), 0o600)
	if _, err := SecretFile(large).Read(); err == nil {
		t.Error("a large file passed")
	}
	if _, err := SecretFile(dir).Read(); err == nil {
		t.Error("a folder passed")
	}
	if _, err := SecretFile(filepath.Join(dir, "none")).Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

const testHash = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"

func TestCredentialHash(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good"), testHash+"\n", 0o600)
	plain := write(t, filepath.Join(dir, "plain"), "hunter2\n", 0o600)
	for _, c := range []Credential{{PasswordHash: testHash}, {PasswordHashFile: SecretFile(good)}} {
		if hash, err := c.Hash(); hash != testHash || err != nil {
			t.Error(hash, err)
		}
	}
	c := Credential{PasswordHashFile: SecretFile(plain)}
	if hash, err := c.Hash(); hash != "" || err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(hash, err)
	}
}

// TestLoadReadsFiles proves that Load reports every file that cannot be read,
// at its key, and that ${credentials} is systemd's folder.
func TestLoadReadsFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write(t, filepath.Join(dir, "hash"), testHash, 0o644)
	write(t, filepath.Join(dir, "word"), "hunter2", 0o600)
	file := write(t, filepath.Join(dir, "postrider.toml"), `hostname = "mail.example.com"
[[dkim]]
domain = "example.com"
selector = "s1"
key = "none.pem"
[[credential]]
username = "shop"
password_hash_file = "${credentials}/hash"
from_domains = "example.com"
[[credential]]
username = "app"
password_hash_file = "word"
from_domains = "example.com"
`, 0o644)
	_, err := Load(file)
	want := file + ":5:7: dkim.key: expected a file that can be read: " + dir + "/none.pem: no such file or directory\n" +
		file + ":8:22: credential.password_hash_file: secret file " + dir + "/hash is readable by everybody: run chmod o-rwx " + dir + "/hash\n" +
		file + ":12:22: credential.password_hash_file: " + dir + "/word: expected an argon2id hash ($argon2id$...)"
	if err == nil || err.Error() != want {
		t.Fatalf("got\n%v\nwant\n%s", err, want)
	}
	write(t, filepath.Join(dir, "none.pem"), "PEM", 0o600)
	write(t, filepath.Join(dir, "hash"), testHash, 0o600)
	write(t, filepath.Join(dir, "word"), testHash, 0o600)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if hash, err := c.Credentials[0].Hash(); err != nil || hash != testHash {
		t.Error(hash, err)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
