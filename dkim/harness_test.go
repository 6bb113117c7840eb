package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"os"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/mail"
)

const simple = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Greetings\r\n" +
	"Date: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHello  Bob, \r\n\r\nbye\t\t now\r\n\r\n"

func clock() time.Time { return time.Unix(1_700_000_000, 0) }

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile("testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	key, err := dkim.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ed25519Key is the one of RFC 8463 appendix A.1.
func ed25519Key() crypto.Signer {
	return ed25519.NewKeyFromSeed([]byte{
		0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
		0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
	})
}

func bothKeys(t testing.TB, domain mail.Domain) []dkim.Key {
	return []dkim.Key{
		{Domain: domain, Selector: "rsa", Signer: rsaKey(t)},
		{Domain: domain, Selector: "ed", Signer: ed25519Key()},
	}
}

func newSigner(t testing.TB, keys ...dkim.Key) *dkim.Signer {
	t.Helper()
	signer, err := dkim.NewSigner(dkim.Options{Keys: keys, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func mustSign(t testing.TB, signer *dkim.Signer, domain mail.Domain, message []byte) []byte {
	t.Helper()
	headers, err := signer.Sign(t.Context(), domain, "", message)
	if err != nil {
		t.Fatal(err)
	}
	return headers
}

// passing verifies a message with a library of its own and returns how many
// signatures of domain there are and how many of them pass.
func passing(t testing.TB, keys []dkim.Key, message []byte) (all, pass int) {
	t.Helper()
	records := make(map[string][]string)
	for _, key := range keys {
		record, err := dkim.Record(key)
		if err != nil {
			t.Fatal(err)
		}
		records[key.Name()] = []string{record}
	}
	results, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return records[name], nil },
	})
	if err != nil {
		t.Logf("verification: %v", err)
	}
	for _, result := range results {
		if result.Domain != string(keys[0].Domain) {
			continue
		}
		all++
		if result.Err == nil {
			pass++
		}
	}
	return all, pass
}

// corpusDir finds test messages that are kept outside the repository.
func corpusDir(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("POSTRIDER_CORPUS"), "../../shared/corpus"} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	t.Skip("no corpus: set POSTRIDER_CORPUS")
	return ""
}
