package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// errNoCertificate: a suite without certificates, which none of those that we
// offer is.
var errNoCertificate = errors.New("server showed no certificate")

// judge says why the server is not known to be who it should be; nil where it
// is. It is asked on resumed sessions as well: what held once may hold no more.
func (c *Client) judge(config *tls.Config, state tls.ConnectionState) error {
	if c.options.Verify != nil {
		return c.options.Verify(state)
	}
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	options := x509.VerifyOptions{DNSName: config.ServerName, Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
	if config.Time != nil {
		options.CurrentTime = config.Time()
	}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if _, err := state.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

// Security is what protects a connection.
type Security struct {
	// Version, such as "TLS 1.3", and Cipher, such as "TLS_AES_128_GCM_SHA256";
	// empty in the clear.
	Version, Cipher string
	// Resumed: the session of an earlier connection was taken up.
	Resumed bool
	// Untrusted says why the server is not known to be who it should be, by
	// Options.Verify or else by the public authorities; nil where it is, and in
	// the clear.
	Untrusted error
}

// Verified reports an encrypted connection to a server that is known to be who
// it should be.
func (s Security) Verified() bool { return s.Version != "" && s.Untrusted == nil }

// Security says what protects the connection.
func (c *Client) Security() Security {
	if c.state == nil {
		return Security{}
	}
	return Security{
		Version: tls.VersionName(c.state.Version), Cipher: tls.CipherSuiteName(c.state.CipherSuite),
		Resumed: c.state.DidResume, Untrusted: c.untrusted,
	}
}
