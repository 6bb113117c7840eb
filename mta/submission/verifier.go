package submission

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission/password"
)

var (
	errBusy  = errors.New("too many passwords are being verified")
	errWrong = errors.New("wrong user name or password")
)

const (
	// verifiedFor is how long a verified password needs no hashing again.
	verifiedFor = 5 * time.Minute
	// maxVerified bounds how many are remembered.
	maxVerified = 10_000
)

// proof stands for a user name, a hash and a password that fitted. It is keyed
// with what only this process knows, and a changed hash makes another one.
type proof [sha256.Size]byte

// verifier verifies passwords, a few at a time: argon2 costs memory and CPU,
// which thousands of connections that come at once would take all of.
type verifier struct {
	slots  chan struct{}
	key    [32]byte
	decoy  func() string
	flight singleflight.Group
	counts *metrics

	mu       sync.Mutex
	verified map[proof]time.Time // until when
}

func newVerifier(slots int, counts *metrics) *verifier {
	v := &verifier{
		slots:    make(chan struct{}, slots),
		verified: make(map[proof]time.Time),
		decoy:    sync.OnceValue(func() string { return password.Hash("") }),
		counts:   counts,
	}
	rand.Read(v.key[:]) // never fails: see crypto/rand.Read
	return v
}

// verify returns nil, errWrong, errBusy, or an error about the hash. An
// unknown user takes as long as a wrong password.
func (v *verifier) verify(ctx context.Context, c account.Credential, known bool, secret string, wait time.Duration) error {
	hash := c.PasswordHash
	if !known {
		hash = v.decoy()
	}
	p := v.prove(c.Username, hash, secret)
	if v.remembers(p, time.Now()) {
		return nil
	}
	// Connections of one client arrive together: one hash serves them all.
	_, err, _ := v.flight.Do(string(p[:]), func() (any, error) {
		return nil, v.hash(ctx, hash, secret, wait)
	})
	if err == nil && !known {
		err = errWrong
	}
	if err == nil {
		v.remember(p, time.Now())
	}
	return err
}

func (v *verifier) hash(ctx context.Context, hash, secret string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case v.slots <- struct{}{}:
	case <-ctx.Done():
		return errBusy
	}
	defer func() { <-v.slots }()
	v.counts.hashes.Inc()
	ok, err := password.Verify(hash, secret)
	if err == nil && !ok {
		err = errWrong
	}
	return err
}

func (v *verifier) prove(parts ...string) proof {
	mac := hmac.New(sha256.New, v.key[:])
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return proof(mac.Sum(nil))
}

func (v *verifier) remembers(p proof, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return now.Before(v.verified[p])
}

func (v *verifier) remember(p proof, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.verified) >= maxVerified {
		for old, until := range v.verified {
			if !now.Before(until) {
				delete(v.verified, old)
			}
		}
	}
	if len(v.verified) < maxVerified {
		v.verified[p] = now.Add(verifiedFor)
	}
}
