package offline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/submission/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGenerateKey proves that a key is written for its owner alone, that what
// is to be published is its public half, and that no key is ever written over.
func TestGenerateKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.pem")
	made, err := offline.GenerateKey("Example.COM", "s1", "ed25519", file)
	if err != nil {
		t.Fatal(err)
	}
	if made.File != file || made.Name != "s1._domainkey.example.com" || !strings.HasPrefix(made.Text, "v=DKIM1; k=ed25519; p=") ||
		!strings.Contains(made.Zone, made.Name) {
		t.Errorf("%+v", made)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	first, _ := os.ReadFile(file)
	private, err := dkim.LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := dkim.Record(dkim.Key{Domain: "example.com", Selector: "s1", Signer: private})
	if err != nil || text != made.Text {
		t.Errorf("the file's key is not the one to publish: %s, %v", text, err)
	}
	if _, err = offline.GenerateKey("example.com", "s1", "rsa", file); err == nil || !strings.Contains(err.Error(), "exists: remove it first") {
		t.Error(err)
	}
	if again, _ := os.ReadFile(file); string(again) != string(first) {
		t.Error("the key was written over")
	}
}

// TestGenerateKeyRefuses proves that bad arguments leave no file.
func TestGenerateKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, arguments := range [][3]string{
		{"not a domain", "s", "rsa"}, {"example.com", "../s", "rsa"}, {"example.com", "s", "dsa"}, {"example.com", "", "rsa"},
	} {
		if _, err := offline.GenerateKey(arguments[0], arguments[1], arguments[2], filepath.Join(dir, "k")); err == nil {
			t.Errorf("%v passed", arguments)
		}
	}
	if _, err := offline.GenerateKey("example.com", "s", "ed25519", filepath.Join(dir, "none", "k")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestCheckKeys proves that what DNS has is compared with every key of the
// domain, and that DNS not answering is no verdict.
func TestCheckKeys(t *testing.T) {
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "postrider.toml")
	text := "hostname = \"mail.example.com\"\n[delivery]\nresolvers = [\"" + dns.Addr() + "\"]\n"
	var zones []string
	for _, selector := range []string{"good", "missing", "other"} {
		made, err := offline.GenerateKey("example.com", selector, "ed25519", filepath.Join(dir, selector+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, made.Zone)
		text += "[[dkim]]\ndomain = \"example.com\"\nselector = \"" + selector + "\"\nkey = \"" + selector + ".pem\"\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(zones[0], "good._domainkey", "other._domainkey", 1)
	if err := dns.Add(zones[0], other); err != nil {
		t.Fatal(err)
	}
	reports, err := offline.CheckKeys(context.Background(), file, "EXAMPLE.com")
	if err != nil || len(reports) != 3 {
		t.Fatalf("%+v, %v", reports, err)
	}
	if !reports[0].Verifies() {
		t.Errorf("%+v", reports[0])
	}
	if reports[1].Verifies() || reports[1].Problems[0].Finding != dkim.Missing {
		t.Errorf("%+v", reports[1])
	}
	if reports[2].Verifies() || reports[2].Problems[0].Finding != dkim.Mismatch {
		t.Errorf("%+v", reports[2])
	}
	if _, err := offline.CheckKeys(context.Background(), file, "example.net"); err == nil || !strings.Contains(err.Error(), "no [[dkim]] key for this domain") {
		t.Error(err)
	}
	dns.Fault("good._domainkey.example.com", testmx.DNSFault{Rcode: 2})
	if reports, err := offline.CheckKeys(context.Background(), file, "example.com"); err == nil {
		t.Errorf("a verdict without an answer: %+v", reports)
	}
	if _, err := offline.CheckKeys(context.Background(), filepath.Join(dir, "none"), "example.com"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := offline.CheckKeys(context.Background(), file, "a b"); err == nil {
		t.Error("passed")
	}
}

// TestHashPassword proves that a hash verifies its password and tells nothing
// of another with the same.
func TestHashPassword(t *testing.T) {
	hash := offline.HashPassword("a stove and a lamp")
	if ok, err := password.Verify(hash, "a stove and a lamp"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, _ := password.Verify(hash, "a stove and a lamb"); ok {
		t.Error("another password passes")
	}
	if hash == offline.HashPassword("a stove and a lamp") {
		t.Error("the salt is not random")
	}
}
