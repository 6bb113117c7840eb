package tlsreport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	// postTimeout bounds one POST as a whole.
	postTimeout = time.Minute
	// maxAnswer bounds what is read of an answer that nobody needs.
	maxAnswer = 64 << 10
)

// ErrEndpoint: a report could not be posted.
var ErrEndpoint = errors.New("report not accepted")

// poster sends reports by HTTPS (RFC 8460 section 5.4).
type poster struct {
	strict, lenient *http.Client
}

// newPoster returns a poster. The endpoint comes from somebody else's DNS, so
// that it must not lead into our own network, unless inside allows it.
func newPoster(inside bool, base *tls.Config) *poster {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	if !inside {
		dialer.Control = refuseInside
	}
	return &poster{strict: newClient(dialer, base, false), lenient: newClient(dialer, base, true)}
}

func newClient(dialer *net.Dialer, base *tls.Config, lenient bool) *http.Client {
	config := &tls.Config{}
	if base != nil {
		config = base.Clone()
	}
	config.InsecureSkipVerify = lenient
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config,
			TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
			DisableKeepAlives: true, MaxResponseHeaderBytes: maxAnswer,
		},
		// Elsewhere may be anywhere; who moved will change the record.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends a report. A certificate that is not valid does not stop it: it may
// be what the report is about, and RFC 8460 section 3 allows it.
func (p *poster) post(ctx context.Context, endpoint string, zipped []byte) error {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	err := postBy(ctx, p.strict, endpoint, zipped)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		err = postBy(ctx, p.lenient, endpoint, zipped)
	}
	return err
}

func postBy(ctx context.Context, client *http.Client, endpoint string, zipped []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(zipped))
	if err != nil {
		return fmt.Errorf("%w: not a URL", ErrEndpoint)
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	request.Header.Set("User-Agent", "postrider")
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEndpoint, withoutURL(err))
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // the status has said it
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%w: HTTP status %d", ErrEndpoint, answer.StatusCode)
	}
	return nil
}

// withoutURL leaves out the URL, in which there may be a secret.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// errInside: an endpoint leads to where only we can reach.
var errInside = errors.New("address of a private network")

// refuseInside looks at the address that is really connected to, whatever DNS
// said before.
func refuseInside(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if a := to.Addr().Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() || shared(a) {
		return errInside
	}
	return nil
}

// shared reports the addresses of carriers' own networks (RFC 6598).
func shared(a netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}
