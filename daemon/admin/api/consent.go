package api

import (
	"context"
	"net/http"
	"time"
)

// Consent is what a reader allows a tenant to measure. It is posted to
// /v1/consents with what it shall be.
type Consent struct {
	Tenant string `json:"tenant"`
	// Address is empty where only its hash is kept, after an erasure.
	Address string `json:"address,omitempty"`
	// Measure is individual, aggregate, hygiene or none.
	Measure string `json:"measure"`
	// By is reader, tenant or erased. A posted one is the tenant's.
	By string `json:"by,omitempty"`
	// Time is when it was said; now for a posted one without it.
	Time time.Time `json:"time,omitzero"`
	// Source says what led to it, such as a form or a message.
	Source string `json:"source,omitempty"`
}

// ConsentSelector names one reader. It is posted to /v1/consents/check, and to
// /v1/consents/remove.
type ConsentSelector struct {
	Tenant  string `json:"tenant"`
	Address string `json:"address"`
	// By says whose word is removed; tenant if empty.
	By string `json:"by,omitempty"`
}

// ConsentVerdict answers a check.
type ConsentVerdict struct {
	// Measure is what everything said together allows, short of what tenant,
	// stream and message say.
	Measure  string    `json:"measure"`
	Consents []Consent `json:"consents"`
	// LastOpen is the day of the last opening, where no more than that is kept.
	LastOpen string `json:"last_open,omitempty"`
}

// ConsentRemoved answers a removal.
type ConsentRemoved struct {
	Removed bool `json:"removed"`
}

// ConsentListRequest is posted to /v1/consents/list; an empty tenant is all.
type ConsentListRequest struct {
	Tenant string `json:"tenant,omitempty"`
	After  string `json:"after,omitempty"`
	// Limit is the length of the page; 0 for 100.
	Limit int `json:"limit,omitempty"`
}

// ConsentPage answers a ConsentListRequest.
type ConsentPage struct {
	Consents []Consent `json:"consents"`
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// UnopenedRequest is posted to /v1/consents/unopened with up to 1,000 addresses:
// it asks which of them have no opening noted since a day.
type UnopenedRequest struct {
	Tenant string `json:"tenant"`
	// Since is a day such as 2026-05-01, in UTC.
	Since     string   `json:"since"`
	Addresses []string `json:"addresses"`
}

// Unopened answers an UnopenedRequest, in its order.
type Unopened struct {
	Addresses []string `json:"addresses"`
}

// CheckConsent asks what a reader allows.
func (c *Client) CheckConsent(ctx context.Context, request ConsentSelector) (ConsentVerdict, error) {
	return call[ConsentVerdict](ctx, c, http.MethodPost, "/v1/consents/check", request)
}

// SetConsent keeps what a reader allows.
func (c *Client) SetConsent(ctx context.Context, consent Consent) (Consent, error) {
	return call[Consent](ctx, c, http.MethodPost, "/v1/consents", consent)
}

// RemoveConsent forgets what was said of a reader.
func (c *Client) RemoveConsent(ctx context.Context, request ConsentSelector) (ConsentRemoved, error) {
	return call[ConsentRemoved](ctx, c, http.MethodPost, "/v1/consents/remove", request)
}

// Consents returns a page of them.
func (c *Client) Consents(ctx context.Context, request ConsentListRequest) (ConsentPage, error) {
	return call[ConsentPage](ctx, c, http.MethodPost, "/v1/consents/list", request)
}

// Unopened asks who has not opened anything.
func (c *Client) Unopened(ctx context.Context, request UnopenedRequest) (Unopened, error) {
	return call[Unopened](ctx, c, http.MethodPost, "/v1/consents/unopened", request)
}
