package certificate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrPaused: the authority is not asked for a host for now, after too many
// orders without a certificate.
var ErrPaused = errors.New("orders for this host pause after failures")

// transport is the way to the authority, and the one place by which orders
// leave: those of handshakes and those of renewals, which autocert goes on with
// for hosts that a reload took away.
type transport struct {
	http.RoundTripper
	hosts   *Hosts
	orders  *orders
	metrics *metrics
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	hosts, err := ordered(r)
	for _, host := range hosts {
		err = errors.Join(err, t.allow(host))
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close() // as every RoundTripper does
		}
		return nil, err
	}
	return t.RoundTripper.RoundTrip(r)
}

func (t *transport) allow(host string) error {
	if !t.hosts.issuable(host) {
		return fmt.Errorf("%s: %w", host, ErrUnknownHost)
	}
	left, err := t.orders.take(host, time.Now())
	if err != nil {
		return fmt.Errorf("%s: count the order: %w", host, err)
	}
	if left > 0 {
		t.metrics.paused.Inc()
		return fmt.Errorf("%s: %w, for %v more", host, ErrPaused, left.Round(time.Second))
	}
	t.metrics.orders.Inc()
	return nil
}

// ordered returns the hosts that a request orders a certificate for (RFC 8555
// section 7.4); none for other requests.
func ordered(r *http.Request) (hosts []string, err error) {
	if r.Method != http.MethodPost || r.GetBody == nil {
		return nil, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var signed struct {
		Payload string `json:"payload"`
	}
	var order struct {
		Identifiers []struct {
			Value string `json:"value"`
		} `json:"identifiers"`
	}
	// What is no signed order names no host.
	if json.Unmarshal(content, &signed) != nil {
		return nil, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(signed.Payload)
	if err != nil || json.Unmarshal(payload, &order) != nil {
		return nil, nil
	}
	for _, identifier := range order.Identifiers {
		hosts = append(hosts, strings.ToLower(identifier.Value))
	}
	return hosts, nil
}
