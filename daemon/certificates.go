package daemon

import (
	"crypto/tls"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/postrider-mta/postrider/daemon/config"
)

// certificates are the TLS certificates of the listeners, by listener name. A
// reload replaces them all; handshakes take what is there.
type certificates struct {
	current atomic.Pointer[map[string]*tls.Certificate]
}

// replace keeps the certificate of a listener that is not named: it goes on
// listening.
func (c *certificates) replace(named map[string]*tls.Certificate) {
	all := map[string]*tls.Certificate{}
	if old := c.current.Load(); old != nil {
		maps.Copy(all, *old)
	}
	maps.Copy(all, named)
	c.current.Store(&all)
}

// server returns the TLS configuration of a listener.
func (c *certificates) server(listener string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if certificate := (*c.current.Load())[listener]; certificate != nil {
				return certificate, nil
			}
			return nil, fmt.Errorf("listener %s has no certificate", listener)
		},
	}
}

func loadCertificates(c *config.Config) (map[string]*tls.Certificate, error) {
	all := map[string]*tls.Certificate{}
	for _, l := range c.Listeners {
		if l.Certificate == "" {
			continue
		}
		pair, err := tls.LoadX509KeyPair(l.Certificate, string(l.Key))
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		all[l.Name] = &pair
	}
	if c.Bounces.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Bounces.Certificate, string(c.Bounces.Key))
		if err != nil {
			return nil, fmt.Errorf("bounces: %w", err)
		}
		all[inboundListener] = &pair
	}
	return all, nil
}
