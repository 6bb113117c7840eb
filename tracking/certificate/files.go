package certificate

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
)

// Pair names the files of a certificate and its key.
type Pair struct{ Certificate, Key string }

// Set is what was read of certificate files, by the names in them.
type Set struct {
	first *tls.Certificate
	named map[string][]*tls.Certificate
}

// Load reads the files.
func Load(pairs []Pair) (*Set, error) {
	s := &Set{named: map[string][]*tls.Certificate{}}
	for _, p := range pairs {
		pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", p.Certificate, err)
		}
		if s.first == nil {
			s.first = &pair
		}
		for _, name := range pair.Leaf.DNSNames {
			name = strings.ToLower(name)
			s.named[name] = append(s.named[name], &pair)
		}
	}
	return s, nil
}

// find returns the certificate for a client, one whose key it can use before
// others. Who names no host gets the first.
func (s *Set) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" && s.first != nil {
		return s.first, nil
	}
	candidates := s.named[name]
	if len(candidates) == 0 {
		_, parent, _ := strings.Cut(name, ".")
		candidates = s.named["*."+parent]
	}
	for _, c := range candidates {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	if len(candidates) == 0 {
		return nil, ErrUnknownHost
	}
	return candidates[0], nil // and TLS says what does not fit
}

// Files shows certificates of files; Replace changes them for handshakes to
// come.
type Files struct{ current atomic.Pointer[Set] }

// Replace shows another set from now on.
func (f *Files) Replace(s *Set) { f.current.Store(s) }

// TLSConfig returns the configuration of a listener that shows them.
func (f *Files) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			set := f.current.Load()
			if set == nil {
				return nil, ErrUnknownHost
			}
			return set.find(hello)
		},
	}
}
