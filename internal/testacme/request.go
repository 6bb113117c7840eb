package testacme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
)

// request is a signed one (RFC 8555 section 6.2), verified.
type request struct {
	// account is the URL of who signed; empty for a key without one.
	account string
	key     *ecdsa.PublicKey
	payload []byte
}

// jwk is a P-256 key (RFC 7518 section 6.2).
type jwk struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

type protected struct {
	Algorithm string `json:"alg"`
	Nonce     string `json:"nonce"`
	URL       string `json:"url"`
	Key       *jwk   `json:"jwk"`
	Account   string `json:"kid"`
}

// read verifies a request: its nonce, its URL and its signature.
func (s *Server) read(r *http.Request) (*request, *problem) {
	content, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var signed struct{ Protected, Payload, Signature string }
	if err != nil || json.Unmarshal(content, &signed) != nil || r.Header.Get("Content-Type") != "application/jose+json" {
		return nil, fail(http.StatusBadRequest, "malformed", "no signed request")
	}
	header, e1 := decode(signed.Protected)
	payload, e2 := decode(signed.Payload)
	signature, e3 := decode(signed.Signature)
	var p protected
	if e1 != nil || e2 != nil || e3 != nil || json.Unmarshal(header, &p) != nil {
		return nil, fail(http.StatusBadRequest, "malformed", "a part cannot be read")
	}
	if p.Algorithm != "ES256" || len(signature) != 64 {
		return nil, fail(http.StatusBadRequest, "badSignatureAlgorithm", "only ES256 is spoken here")
	}
	if p.URL != s.base+r.URL.Path {
		return nil, fail(http.StatusUnauthorized, "unauthorized", "signed for %s", p.URL)
	}
	request := &request{account: p.Account, payload: payload}
	var good bool
	s.change(func() {
		good = s.nonces[p.Nonce]
		delete(s.nonces, p.Nonce)
		request.key = s.accounts[p.Account]
	})
	if !good {
		return nil, fail(http.StatusBadRequest, "badNonce", "not one of ours, or used")
	}
	if p.Key != nil {
		if request.key = p.Key.public(); p.Account != "" {
			request.key = nil
		}
	}
	if request.key == nil {
		return nil, fail(http.StatusBadRequest, "accountDoesNotExist", "no key")
	}
	sum := sha256.Sum256([]byte(signed.Protected + "." + signed.Payload))
	if !ecdsa.Verify(request.key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return nil, fail(http.StatusUnauthorized, "unauthorized", "the signature is wrong")
	}
	return request, nil
}

func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }

// public is nil for what is no point of the curve.
func (k *jwk) public() *ecdsa.PublicKey {
	x, e1 := decode(k.X)
	y, e2 := decode(k.Y)
	if e1 != nil || e2 != nil || k.Curve != "P-256" || k.Type != "EC" || len(x) != 32 || len(y) != 32 {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil
	}
	return key
}
