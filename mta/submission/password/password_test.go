package password

import (
	"errors"
	"strings"
	"testing"
)

// cheap is a hash of "password" that costs little.
func cheap(t *testing.T) string {
	t.Helper()
	p := parameters{memory: 64, time: 1, lanes: 1, salt: []byte("somesalt12345678")}
	p.key = p.derive("password", 32)
	return p.String()
}

func TestHashVerifies(t *testing.T) {
	hash := Hash("correct horse")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("not a PHC string of the expected cost")
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsE": false, "": false} {
		if ok, err := Verify(hash, password); ok != want || err != nil {
			t.Errorf("Verify = %t, %v; want %t", ok, err, want)
		}
	}
	if Hash("correct horse") == hash {
		t.Error("two hashes share their salt")
	}
}

// The reference implementation's own test: argon2 2.0, "password", "somesalt".
func TestVerifyReference(t *testing.T) {
	const hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if ok, err := Verify(hash, "password"); !ok || err != nil {
		t.Fatalf("Verify = %t, %v", ok, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	good := cheap(t)
	for name, hash := range map[string]string{
		"empty":         "",
		"plain text":    "secret",
		"argon2i":       strings.Replace(good, "argon2id", "argon2i", 1),
		"version":       strings.Replace(good, "v=19", "v=16", 1),
		"no time":       strings.Replace(good, "t=1", "t=0", 1),
		"huge memory":   strings.Replace(good, "m=64", "m=4294967295", 1),
		"tiny memory":   strings.Replace(good, "m=64", "m=1", 1),
		"lanes":         strings.Replace(good, "p=1", "p=65", 1),
		"trailing text": strings.Replace(good, "p=1", "p=1x", 1),
		"short":         good[:strings.LastIndex(good, "$")] + "$AAAA",
		"no base64":     good + "!",
	} {
		if err := Check(hash); !errors.Is(err, ErrHash) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Check(good); err != nil {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, hash string) {
		p, err := parse(hash)
		if err == nil && p.memory > maxMemory {
			t.Fatal("limit passed")
		}
	})
}
