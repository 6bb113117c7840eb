package token

import (
	"crypto/hmac"
	"crypto/sha256"
)

// MAC authenticates data of another room by HMAC-SHA256, under a key that is
// derived from the ring's key of that id for this purpose alone: return paths
// and what else comes back by mail live and die with the links. False means
// that there is no such key.
func (r *Keyring) MAC(id ID, data []byte) ([]byte, bool) {
	if id > MaxID {
		return nil, false
	}
	s := r.keys.Load().sealers[id]
	if s == nil {
		return nil, false
	}
	mac := hmac.New(sha256.New, s.returns)
	mac.Write(data)
	return mac.Sum(nil), true
}
