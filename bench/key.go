package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/dkim"
)

// keyBits is what mail is signed with today.
const keyBits = 2048

// signingKey is made for one run of the benchmark and used by all systems.
type signingKey struct {
	pem    []byte
	record string
}

func newSigningKey() (*signingKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &signingKey{
		pem:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		record: "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public),
	}, nil
}

// write makes the key's file, for its owner alone.
func (k *signingKey) write(file string) error { return os.WriteFile(file, k.pem, 0o600) }

// verify holds when the message has a signature and each one is right.
func (k *signingKey) verify(message []byte) error {
	found, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{k.record}, nil },
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("it has no DKIM signature")
	}
	for _, v := range found {
		if v.Err != nil {
			return fmt.Errorf("its DKIM signature: %w", v.Err)
		}
	}
	return nil
}
