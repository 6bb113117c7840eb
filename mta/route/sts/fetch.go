package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

// Causes that the errors of Fetch wrap, beside ErrInvalid.
var (
	// ErrFetch: the policy host did not give the policy.
	ErrFetch = errors.New("MTA-STS policy could not be fetched")
	// ErrWebPKI: the policy host's certificate is not valid.
	ErrWebPKI = errors.New("MTA-STS policy host is not who it should be")
)

// Fetcher gets the policy of a domain. Its errors wrap ErrInvalid, ErrFetch or
// ErrWebPKI.
type Fetcher interface {
	Fetch(ctx context.Context, domain mail.Domain) (Policy, error)
}

// HTTPSOptions of an HTTPS; zero fields get the defaults given.
type HTTPSOptions struct {
	// Dial connects to host:port; net.Dialer if nil. Whoever has rules about
	// which addresses names may lead to must set it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RootCAs verify policy hosts; those of the system if nil.
	RootCAs *x509.CertPool
	// Port of policy hosts; 443.
	Port uint16
	// Timeout of one fetch as a whole; 30 seconds.
	Timeout time.Duration
}

const (
	// maxPolicy is what section 3.3 suggests.
	maxPolicy  = 64 << 10
	maxHeaders = 16 << 10
	policyPath = "/.well-known/mta-sts.txt"
)

// HTTPS fetches policies as RFC 8461 section 3.3 says: from the policy host
// alone, whose certificate must be valid, without redirection, caches and
// proxies.
type HTTPS struct {
	client *http.Client
	port   string
}

var _ Fetcher = (*HTTPS)(nil)

// NewHTTPS returns a fetcher. It keeps no connections.
func NewHTTPS(o HTTPSOptions) *HTTPS {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	h := &HTTPS{}
	if o.Port != 0 && o.Port != 443 {
		h.port = ":" + strconv.Itoa(int(o.Port))
	}
	h.client = &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			Proxy:                  nil, // whatever the environment says
			DialContext:            o.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return h
}

// Fetch implements Fetcher.
func (h *HTTPS) Fetch(ctx context.Context, domain mail.Domain) (Policy, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+string(domain)+h.port+policyPath, http.NoBody)
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	request.Header.Set("User-Agent", "postrider")
	request.Header.Set("Accept", "text/plain")
	response, err := h.client.Do(request)
	if err != nil {
		return Policy{}, transportError(err)
	}
	defer response.Body.Close()
	if err := checkResponse(response); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPolicy+1))
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	if len(body) > maxPolicy {
		return Policy{}, fmt.Errorf("%w: longer than %d octets", ErrInvalid, maxPolicy)
	}
	return ParsePolicy(body)
}

// transportError tells a certificate that is not valid from all else that
// kept a response away.
func transportError(err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: %w", ErrWebPKI, untrusted)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the caller knows the address
	}
	return fmt.Errorf("%w: %w", ErrFetch, err)
}

// checkResponse takes plain text and nothing else: a web server may let
// strangers put other things at a path of their choice.
func checkResponse(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return errors.New("media type is not text/plain")
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return errors.New("encoded in a way that was not asked for")
	}
	return nil
}
