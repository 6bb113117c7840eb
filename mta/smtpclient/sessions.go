package smtpclient

import (
	"crypto/tls"
	"net/netip"
)

// Sessions remembers encrypted sessions, so that the next connection to a
// server takes one up in place of a whole handshake (RFC 8446 section 2.2). Its
// methods may be called from any goroutine.
type Sessions struct{ cache tls.ClientSessionCache }

// NewSessions remembers as many sessions, those used last.
func NewSessions(limit int) *Sessions { return &Sessions{tls.NewLRUClientSessionCache(limit)} }

// under returns the sessions of one server, made under one scope: what was
// asked of the server then is what is asked of it now.
func (s *Sessions) under(scope string, addr netip.AddrPort) tls.ClientSessionCache {
	return scopedSessions{s.cache, addr.String() + " " + scope + " "}
}

type scopedSessions struct {
	cache tls.ClientSessionCache
	scope string
}

var _ tls.ClientSessionCache = scopedSessions{}

// Get implements tls.ClientSessionCache.
func (s scopedSessions) Get(key string) (*tls.ClientSessionState, bool) {
	return s.cache.Get(s.scope + key)
}

// Put implements tls.ClientSessionCache.
func (s scopedSessions) Put(key string, state *tls.ClientSessionState) {
	s.cache.Put(s.scope+key, state)
}
