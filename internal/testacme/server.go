package testacme

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is an authority on loopback. Names are not looked up: challenges are
// asked at the addresses that SetTLS and SetHTTP say.
type Server struct {
	base      string
	server    *http.Server
	done      chan struct{}
	authority *authority

	mutex    sync.Mutex
	tls      string
	http     string
	refuse   bool
	nonces   map[string]bool
	accounts map[string]*ecdsa.PublicKey
	orders   []*order
	// asked counts orders, issued certificates, validated challenges by kind.
	asked, issued, validated map[string]int
}

// order is a certificate on its way. It has one host, and an authorization of
// its own.
type order struct {
	number  int
	account string
	host    string
	// status is that of the order, authorized that of the authorization.
	status, authorized string
	tokens             map[string]string
	chain              []byte
}

// Start listens on a free port. Certificates last for lifetime.
func Start(lifetime time.Duration) (*Server, error) {
	authority, err := newAuthority(lifetime)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{
		base: "http://" + listener.Addr().String(), done: make(chan struct{}), authority: authority,
		nonces: map[string]bool{}, accounts: map[string]*ecdsa.PublicKey{},
		asked: map[string]int{}, issued: map[string]int{}, validated: map[string]int{},
	}
	s.server = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // ends with Close
	}()
	return s, nil
}

// Close stops the authority.
func (s *Server) Close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// Directory is the URL at which clients begin.
func (s *Server) Directory() string { return s.base + "/directory" }

// Roots trust what the authority issues.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.certificate)
	return pool
}

// RootPEM is the authority's own certificate.
func (s *Server) RootPEM() []byte { return encodeCertificate(s.authority.certificate.Raw) }

// SetTLS says where tls-alpn-01 (RFC 8737) is asked; empty makes it fail.
func (s *Server) SetTLS(address string) { s.change(func() { s.tls = address }) }

// SetHTTP says where http-01 is asked; empty makes it fail.
func (s *Server) SetHTTP(address string) { s.change(func() { s.http = address }) }

// Refuse makes every order fail, as beyond a rate limit.
func (s *Server) Refuse(refuse bool) { s.change(func() { s.refuse = refuse }) }

func (s *Server) change(do func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	do()
}

// Asked is how many orders there were for a host.
func (s *Server) Asked(host string) (n int) {
	s.change(func() { n = s.asked[host] })
	return n
}

// Issued is how many certificates a host got.
func (s *Server) Issued(host string) (n int) {
	s.change(func() { n = s.issued[host] })
	return n
}

// Validated is how many challenges of a kind were met.
func (s *Server) Validated(kind string) (n int) {
	s.change(func() { n = s.validated[kind] })
	return n
}

// Accounts is how many there are.
func (s *Server) Accounts() (n int) {
	s.change(func() { n = len(s.accounts) })
	return n
}

// nonce returns one that is good once.
func (s *Server) nonce() string {
	nonce := rand.Text()
	s.change(func() { s.nonces[nonce] = true })
	return nonce
}

// problem is an error as the protocol says it (RFC 8555 section 6.7).
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
}

func (p *problem) Error() string { return p.Type + ": " + p.Detail }

func fail(status int, kind, format string, values ...any) *problem {
	return &problem{"urn:ietf:params:acme:error:" + kind, fmt.Sprintf(format, values...), status}
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Replay-Nonce", s.nonce())
	if p, ok := body.(*problem); ok {
		w.Header().Set("Content-Type", "application/problem+json")
		status = p.Status
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
