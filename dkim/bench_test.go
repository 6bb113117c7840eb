package dkim_test

import (
	"bytes"
	"crypto"
	"io"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/postrider-mta/postrider/dkim"
)

// freeKey looks like an RSA key whose operation costs nothing, so that what
// remains is the work on the message.
type freeKey struct{ crypto.Signer }

func (freeKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 256), nil
}

// tenKB is a message of about 10 KB as a newsletter's HTML part has it.
func tenKB() []byte {
	return []byte(strings.TrimSuffix(simple, "\r\n") + strings.Repeat("    <td class=\"cell\"><a href=\"https://example.com/x\">Read on</a></td>\r\n", 140))
}

func BenchmarkSign(b *testing.B) {
	message := tenKB()
	for name, keys := range map[string][]dkim.Key{
		"free":    {{Domain: "example.com", Selector: "s", Signer: freeKey{rsaKey(b)}}},
		"ed25519": {{Domain: "example.com", Selector: "s", Signer: ed25519Key()}},
		"rsa":     {{Domain: "example.com", Selector: "s", Signer: rsaKey(b)}},
		"both":    bothKeys(b, "example.com"),
	} {
		b.Run(name, func(b *testing.B) {
			signer := newSigner(b, keys...)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				mustSign(b, signer, "example.com", message)
			}
		})
	}
}

func BenchmarkLibrary(b *testing.B) {
	key := freeKey{rsaKey(b)}
	message := tenKB()
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		signer, err := msgauth.NewSigner(&msgauth.SignOptions{
			Domain: "example.com", Selector: "s", Signer: key,
			HeaderCanonicalization: msgauth.CanonicalizationRelaxed, BodyCanonicalization: msgauth.CanonicalizationRelaxed,
			HeaderKeys: []string{"From", "From", "To", "Subject", "Date", "Message-ID"},
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(signer, bytes.NewReader(message)); err != nil {
			b.Fatal(err)
		}
		if err := signer.Close(); err != nil {
			b.Fatal(err)
		}
		_ = signer.Signature()
	}
}
