package selftest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/tracking/token"
)

// Path begins the path of a probe at the tracker; a token of
// token.PurposeProbe follows.
const Path = "/probe/"

const (
	// timeout bounds a probe, name resolution and handshake included.
	timeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in octets; a proof is shorter.
	maxAnswer = 1 << 10
)

// ErrAnswer: something answers that is not this daemon's tracker.
var ErrAnswer = errors.New("not the tracker's answer")

// Answer is what a probe found out.
type Answer struct {
	// CertificateEnds is when the certificate that was shown expires; zero
	// without TLS.
	CertificateEnds time.Time
}

// fetcher asks as a reader's browser would: by name, over a new connection,
// with the certificate verified. It follows no redirect.
type fetcher struct {
	keys *token.Keyring
	http *http.Client
}

func newFetcher(o Options) *fetcher {
	return &fetcher{keys: o.Keys, http: &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:            dialer(o.Resolvers),
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // each probe finds its way anew
			MaxResponseHeaderBytes: 16 << 10,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fetch asks through the base of a tracker's URLs.
func (f *fetcher) fetch(ctx context.Context, base string) (Answer, error) {
	challenge := token.MakeChallenge()
	sealed, err := f.keys.SealProbe(challenge)
	if err != nil {
		return Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+Path+sealed, nil)
	if err != nil {
		return Answer{}, errors.New("the URL cannot be used")
	}
	request.Header.Set("User-Agent", "Postrider-Selftest")
	response, err := f.http.Do(request)
	if err != nil {
		return Answer{}, explain(err)
	}
	defer response.Body.Close()
	answer := Answer{CertificateEnds: certificateEnd(response.TLS)}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%w: status %d", ErrAnswer, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer, explain(err)
	}
	if !f.keys.Proves(string(body), challenge) {
		return answer, fmt.Errorf("%w: it does not prove our keys", ErrAnswer)
	}
	return answer, nil
}

func certificateEnd(state *tls.ConnectionState) time.Time {
	if state == nil || len(state.PeerCertificates) == 0 {
		return time.Time{}
	}
	return state.PeerCertificates[0].NotAfter
}

// explain leaves out the URL, which holds the token, and says in words what is
// most often wrong.
func explain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	var unknown x509.UnknownAuthorityError
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("the name does not resolve: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("readers would not trust the certificate: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", timeout)
	}
	return err
}
