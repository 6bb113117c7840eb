package certificate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// TestOrders proves the pauses: how many orders come before one, how they grow,
// that they have an end, and that a certificate ends them all.
func TestOrders(t *testing.T) {
	var saved []byte
	save := func(content []byte) error { saved = content; return nil }
	o := must(t, nil, save)
	now := time.Unix(1000, 0)
	take := func(host string, at time.Time) time.Duration {
		t.Helper()
		wait, err := o.take(host, at)
		if err != nil {
			t.Error(err)
		}
		o = must(t, saved, save) // each order may be the last before a crash
		return wait
	}
	for _, pause := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour} {
		for i := range ordersAtOnce {
			if wait := take("a.example", now); wait != 0 {
				t.Fatalf("order %d waits %v", i, wait)
			}
		}
		if wait := take("a.example", now.Add(time.Minute)); wait != pause-time.Minute {
			t.Errorf("pauses for %v instead of %v", wait+time.Minute, pause)
		}
		if wait := take("b.example", now); wait != 0 {
			t.Errorf("another host waits %v", wait)
		}
		if err := o.done("b.example", now); err != nil {
			t.Error(err)
		}
		now = now.Add(pause)
	}
	if err := o.done("a.example", now); err != nil {
		t.Error(err)
	}
	for range 2 {
		if wait := take("a.example", now); wait != 0 {
			t.Errorf("waits %v after a certificate", wait)
		}
	}
	if take("c.example", now.Add(100*24*time.Hour)); len(o.hosts) != 1 {
		t.Errorf("%d hosts are remembered for ever", len(o.hosts))
	}
}

func must(t *testing.T, saved []byte, save func([]byte) error) *orders {
	t.Helper()
	o, err := newOrders(saved, save)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOrdersThatCannotBeSaved proves that nothing is ordered then, and that
// what is damaged does not keep the daemon from starting.
func TestOrdersThatCannotBeSaved(t *testing.T) {
	full := errors.New("disk is full")
	o := must(t, nil, func([]byte) error { return full })
	if _, err := o.take("a.example", time.Now()); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	for _, saved := range []string{"x", "[]", `{"a.example":{"until":1}}`} {
		if o, err := newOrders([]byte(saved), nil); err == nil || len(o.hosts) != 0 {
			t.Errorf("%s: %v", saved, err)
		}
	}
	if o := must(t, []byte(`{"a.example":null,"b.example":{"pauses":-5}}`), func([]byte) error { return nil }); o.hosts["a.example"] != nil {
		t.Error("a host without attempts")
	}
}

func TestFailuresAreToldSeldom(t *testing.T) {
	o, now := must(t, nil, nil), time.Unix(1000, 0)
	if !o.tell("a.example", now) || o.tell("a.example", now.Add(silence-1)) || !o.tell("b.example", now) || !o.tell("a.example", now.Add(silence)) {
		t.Error("tells too often or too seldom")
	}
}

// TestFolder proves that nothing leaves the folder, and that what is written
// is complete and private.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "acme")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var stored []string
	f, err := newFolder(dir, func(host string) { stored = append(stored, host) })
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	ctx := context.Background()
	for _, name := range []string{"", ".", ordersName, "..", "../x", "a/b", ".hidden", "a\x00b", "ü.example", string(make([]byte, 300))} {
		if err := f.Put(ctx, name, nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %q: %v", name, err)
		}
		if _, err := f.Get(ctx, name); !errors.Is(err, autocert.ErrCacheMiss) {
			t.Errorf("get %q: %v", name, err)
		}
		if err := f.Delete(ctx, name); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	for _, name := range []string{"a.example", "a.example+rsa", "acme_account+key", "x-Y_z+http-01", "a.example+token"} {
		if err := f.Put(ctx, name, []byte(name)); err != nil {
			t.Error(err)
		}
		if got, err := f.Get(ctx, name); string(got) != name || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if err := errors.Join(f.Delete(ctx, name), f.Delete(ctx, name)); err != nil {
			t.Error(err)
		}
	}
	if len(stored) != 2 || stored[0] != "a.example" || stored[1] != "a.example" {
		t.Errorf("stored %q", stored)
	}
}

func TestACMEOptions(t *testing.T) {
	hosts := &Hosts{}
	for _, o := range []ACMEOptions{
		{},
		{Hosts: hosts, Folder: t.TempDir(), Directory: "https://acme.example"},
		{Hosts: hosts, Directory: "https://acme.example", TermsAccepted: true},
	} {
		if _, err := NewACME(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewACME(ACMEOptions{Hosts: hosts, Folder: file, Directory: "https://acme.example", TermsAccepted: true}); err == nil {
		t.Error("took a file for a folder")
	}
}
