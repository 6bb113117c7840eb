package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Why is one waiting recipient with what it waits for, in the answer to POST
// /v1/why.
type Why struct {
	Recipient
	// State is sending, held, window (outside its hours), later (not due yet),
	// unroutable, throttled or due.
	State string `json:"state"`
	// Reasons in words, the nearest cause first.
	Reasons []string `json:"reasons"`
	// Next is when it is tried at the earliest; absent where no time decides.
	Next time.Time `json:"next,omitzero"`
	// Site and Hosts are where it will go; empty without a route.
	Site  string   `json:"site,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
	// Throttles of that site.
	Throttles []Throttle `json:"throttles,omitempty"`
}

// WhyPage answers POST /v1/why, which takes a ListRequest.
type WhyPage struct {
	Recipients []Why `json:"recipients"`
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// SiteDetail answers GET /v1/sites/SITE.
type SiteDetail struct {
	Site
	// MaxConnections, MessagesPerConnection and Rate are the limits in
	// configuration; the latter two zero or empty for none.
	MaxConnections        int    `json:"max_connections"`
	MessagesPerConnection int    `json:"messages_per_connection,omitempty"`
	Rate                  string `json:"rate,omitempty"`
	// Routes that mail waits for now.
	Routes []SiteRoute `json:"routes,omitempty"`
}

// SiteRoute is one set of hosts of a site.
type SiteRoute struct {
	Source      string   `json:"source"`
	Hosts       []string `json:"hosts"`
	Connections int      `json:"connections"`
	Idle        int      `json:"idle"`
	InFlight    int      `json:"in_flight"`
	Queues      int      `json:"queues"`
	// LastFailure says why the last connection failed; empty once one did not.
	LastFailure string `json:"last_failure,omitempty"`
}

// LiftRequest is posted to /v1/throttles/lift.
type LiftRequest struct {
	Site string `json:"site"`
	// Name of the throttle; empty for all of the site.
	Name string `json:"name,omitempty"`
}

// Lifted answers a LiftRequest.
type Lifted struct {
	Throttles int `json:"throttles"`
}

// RouteRequest is posted to /v1/route: an address, or a domain.
type RouteRequest struct {
	Destination string `json:"destination"`
}

// Route answers a RouteRequest: how mail for a destination leaves.
type Route struct {
	Domain string `json:"domain"`
	// Site is empty where there is no route.
	Site string `json:"site,omitempty"`
	// Origin is static or dns.
	Origin string      `json:"origin,omitempty"`
	Hosts  []RouteHost `json:"hosts,omitempty"`
	// Sources of the default pool.
	Sources []RouteSource `json:"sources,omitempty"`
	// Error is what the recipient's event would say; absent with a route.
	Error string `json:"error,omitempty"`
	// Permanent says that mail would bounce for it.
	Permanent bool `json:"permanent,omitempty"`
}

// RouteHost is a mail exchanger, in the order in which they are tried.
type RouteHost struct {
	Name       string   `json:"name"`
	Preference uint16   `json:"preference"`
	Addresses  []string `json:"addresses"`
	// TLS is the least protection, and TLSReason why it is.
	TLS       string `json:"tls"`
	TLSReason string `json:"tls_reason,omitempty"`
}

// RouteSource is a source that mail may leave from.
type RouteSource struct {
	Name string `json:"name"`
	EHLO string `json:"ehlo"`
	// Share of the pool's weight, from 0 to 1.
	Share float64 `json:"share"`
	// Reason why it is not chosen now; empty if it may be. Until is when that
	// may be over.
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// DivertRequest is posted to /v1/diversions.
type DivertRequest struct {
	Selector Selector `json:"selector"`
	// All must be set where the selector is empty.
	All    bool   `json:"all,omitempty"`
	Pool   string `json:"pool"`
	Reason string `json:"reason,omitempty"`
}

// Diversion has what it selects leave by a pool of the operator's choice until
// DELETE /v1/diversions/ID ends it. GET /v1/diversions lists them.
type Diversion struct {
	ID       string    `json:"id"`
	Selector Selector  `json:"selector"`
	Pool     string    `json:"pool"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
}

// Diverted answers a DivertRequest: Recipients wait and are due now.
type Diverted struct {
	Diversion
	Recipients int `json:"recipients"`
}

// Divert has what is chosen leave by another pool.
func (c *Client) Divert(ctx context.Context, request DivertRequest) (Diverted, error) {
	return call[Diverted](ctx, c, http.MethodPost, "/v1/diversions", request)
}

// Diversions returns those in force.
func (c *Client) Diversions(ctx context.Context) ([]Diversion, error) {
	return call[[]Diversion](ctx, c, http.MethodGet, "/v1/diversions", nil)
}

// EndDiversion ends one.
func (c *Client) EndDiversion(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, "/v1/diversions/"+url.PathEscape(id), nil)
	return err
}

// TraceLine is one line of the answer to GET /v1/sites/SITE/trace.
type TraceLine struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	Host   string    `json:"host"`
	// Remote is the host's address and port.
	Remote string `json:"remote"`
	// Sent is what we said; otherwise it is an answer.
	Sent bool   `json:"sent"`
	Text string `json:"text"`
}

// Trace calls yield for each line exchanged with a site over connections that
// are opened from now on, until yield or ctx ends it.
func (c *Client) Trace(ctx context.Context, site string, yield func(TraceLine) error) error {
	body, err := c.open(ctx, http.MethodGet, "/v1/sites/"+url.PathEscape(site)+"/trace", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var line TraceLine
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return explainCut(err)
		}
		if err := yield(line); err != nil {
			return err
		}
	}
}

// Source is one local end in the answer to GET /v1/sources.
type Source struct {
	Name      string   `json:"name"`
	EHLO      string   `json:"ehlo"`
	Addresses []string `json:"addresses,omitempty"`
	// Proxied: connections go through a proxy.
	Proxied bool `json:"proxied,omitempty"`
	// Suspensions that keep it from being chosen.
	Suspensions []Suspension `json:"suspensions,omitempty"`
	// WarmUp says in words how far it has come with each provider.
	WarmUp []string `json:"warm_up,omitempty"`
}

// Suspension keeps a source from being chosen.
type Suspension struct {
	// Site that it holds for; empty for all.
	Site string `json:"site,omitempty"`
	// Families that it holds for, in words.
	Families string    `json:"families"`
	Name     string    `json:"name"`
	Reason   string    `json:"reason"`
	Until    time.Time `json:"until,omitzero"`
}

// LiftSourceRequest is posted to /v1/sources/lift and answered by Lifted.
type LiftSourceRequest struct {
	Source string `json:"source"`
	// Site narrows it down; empty for all suspensions.
	Site string `json:"site,omitempty"`
}

// Sources returns all sources.
func (c *Client) Sources(ctx context.Context) ([]Source, error) {
	return call[[]Source](ctx, c, http.MethodGet, "/v1/sources", nil)
}

// LiftSource ends suspensions of a source.
func (c *Client) LiftSource(ctx context.Context, request LiftSourceRequest) (Lifted, error) {
	return call[Lifted](ctx, c, http.MethodPost, "/v1/sources/lift", request)
}

// Why returns a page of waiting recipients with what each waits for.
func (c *Client) Why(ctx context.Context, request ListRequest) (WhyPage, error) {
	return call[WhyPage](ctx, c, http.MethodPost, "/v1/why", request)
}

// Site returns one site.
func (c *Client) Site(ctx context.Context, name string) (SiteDetail, error) {
	return call[SiteDetail](ctx, c, http.MethodGet, "/v1/sites/"+url.PathEscape(name), nil)
}

// Throttles returns all that are in force.
func (c *Client) Throttles(ctx context.Context) ([]Throttle, error) {
	return call[[]Throttle](ctx, c, http.MethodGet, "/v1/throttles", nil)
}

// Lift ends throttles.
func (c *Client) Lift(ctx context.Context, request LiftRequest) (Lifted, error) {
	return call[Lifted](ctx, c, http.MethodPost, "/v1/throttles/lift", request)
}

// Route says how mail for a destination leaves.
func (c *Client) Route(ctx context.Context, request RouteRequest) (Route, error) {
	return call[Route](ctx, c, http.MethodPost, "/v1/route", request)
}
