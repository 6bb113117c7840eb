package api

import (
	"context"
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
	// TLS is the least protection.
	TLS string `json:"tls,omitempty"`
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
