package testacme

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
)

// The kinds of challenge.
const (
	tlsALPN = "tls-alpn-01"
	http01  = "http-01"
)

// errChallenge: the challenge is not met.
var errChallenge = errors.New("challenge not met")

// validate asks the host to prove who it is, at the address set for it.
func (s *Server) validate(ctx context.Context, key *ecdsa.PublicKey, kind string, o *order) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	thumbprint, err := acme.JWKThumbprint(key)
	if err != nil {
		return err
	}
	want := o.tokens[kind] + "." + thumbprint
	var overTLS, plain string
	s.change(func() { overTLS, plain = s.tls, s.http })
	switch {
	case kind == tlsALPN && overTLS != "":
		return validateTLS(ctx, overTLS, o.host, want)
	case kind == http01 && plain != "":
		return validateHTTP(ctx, plain, o.host, o.tokens[kind], want)
	}
	return fmt.Errorf("%w: %s has no address", errChallenge, kind)
}

// validateTLS follows RFC 8737 section 3.
func validateTLS(ctx context.Context, address, host, want string) error {
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	leaf := state.PeerCertificates[0]
	if state.NegotiatedProtocol != "acme-tls/1" || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != host {
		return fmt.Errorf("%w: protocol %q, names %q", errChallenge, state.NegotiatedProtocol, leaf.DNSNames)
	}
	return proven(leaf, sha256.Sum256([]byte(want)))
}

func proven(leaf *x509.Certificate, sum [sha256.Size]byte) error {
	for _, extension := range leaf.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) {
			continue
		}
		var value []byte
		if _, err := asn1.Unmarshal(extension.Value, &value); err != nil {
			return err
		}
		if extension.Critical && string(value) == string(sum[:]) {
			return nil
		}
	}
	return fmt.Errorf("%w: no proof in the certificate", errChallenge)
}

// validateHTTP follows RFC 8555 section 8.3.
func validateHTTP(ctx context.Context, address, host, token, want string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/.well-known/acme-challenge/"+token, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("%w: status %d", errChallenge, response.StatusCode)
	}
	return nil
}
