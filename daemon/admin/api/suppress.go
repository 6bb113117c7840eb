package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Suppression is one reason not to mail an address. It is posted to
// /v1/suppressions with what it shall be.
type Suppression struct {
	// Tenant whose mail it keeps back; * for all, the operator's own list.
	Tenant string `json:"tenant"`
	// Stream that it holds for; empty for all that the reason concerns.
	Stream string `json:"stream,omitempty"`
	// Address, or the Hash that stands for it where it is not known.
	Address string `json:"address,omitempty"`
	Hash    string `json:"hash,omitempty"`
	// Reason is hard_bounce, soft_bounce, complaint, unsubscribed, manual or
	// erased; a posted one without it is manual.
	Reason string `json:"reason"`
	// Time is when it began, Expires when it ends.
	Time    time.Time `json:"time,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Source is the message or event that led to it.
	Source string `json:"source,omitempty"`
}

// SuppressionAdded answers a posted Suppression.
type SuppressionAdded struct {
	// Added is false where one for the same address, stream and reason was
	// there that lasts as long.
	Added bool `json:"added"`
}

// SuppressionCheck is posted to /v1/suppressions/check.
type SuppressionCheck struct {
	Tenant  string `json:"tenant"`
	Address string `json:"address"`
	// Stream to ask for; empty for whether any of the tenant's may mail.
	Stream string `json:"stream,omitempty"`
}

// SuppressionVerdict answers a SuppressionCheck.
type SuppressionVerdict struct {
	Suppressed bool `json:"suppressed"`
	// Reason is the one that decides.
	Reason string `json:"reason,omitempty"`
	// Suppressions are all about the address that concern the tenant, on
	// whatever stream.
	Suppressions []Suppression `json:"suppressions"`
}

// SuppressionSelector chooses suppressions; empty fields match all. It is
// posted to /v1/suppressions/remove with a tenant and an address at least.
type SuppressionSelector struct {
	Tenant string `json:"tenant,omitempty"`
	Stream string `json:"stream,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Address, or a hash of one.
	Address string `json:"address,omitempty"`
}

// SuppressionsRemoved answers with what was removed.
type SuppressionsRemoved struct {
	Suppressions []Suppression `json:"suppressions"`
}

// SuppressionListRequest is posted to /v1/suppressions/list.
type SuppressionListRequest struct {
	Selector SuppressionSelector `json:"selector"`
	After    string              `json:"after,omitempty"`
	// Limit is the length of the page; 0 for 100.
	Limit int `json:"limit,omitempty"`
}

// SuppressionPage answers a SuppressionListRequest.
type SuppressionPage struct {
	Suppressions []Suppression `json:"suppressions"`
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// SuppressionImport says what a list is that is posted to
// /v1/suppressions/import, in the query.
type SuppressionImport struct {
	// Format is csv or json, the latter a Suppression a line.
	Format string
	// Tenant whose list it is; * for the operator's own.
	Tenant string
	// Stream and Reason of lines that leave them out.
	Stream, Reason string
}

// SuppressionsImported answers a posted list.
type SuppressionsImported struct {
	// Added and Known entries, the latter there already.
	Added int `json:"added"`
	Known int `json:"known"`
	// Expired before they came.
	Expired int `json:"expired,omitempty"`
	// Refused lines; Problems tells of the first ones.
	Refused  int           `json:"refused,omitempty"`
	Problems []LineProblem `json:"problems,omitempty"`
}

// LineProblem is what is wrong with one line.
type LineProblem struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// SuppressionExport is posted to /v1/suppressions/export, and answered with
// the list.
type SuppressionExport struct {
	// Format is csv or json.
	Format   string              `json:"format"`
	Selector SuppressionSelector `json:"selector"`
}

// CheckSuppression asks whether an address may be mailed.
func (c *Client) CheckSuppression(ctx context.Context, request SuppressionCheck) (SuppressionVerdict, error) {
	return call[SuppressionVerdict](ctx, c, http.MethodPost, "/v1/suppressions/check", request)
}

// Suppress adds a suppression.
func (c *Client) Suppress(ctx context.Context, s Suppression) (SuppressionAdded, error) {
	return call[SuppressionAdded](ctx, c, http.MethodPost, "/v1/suppressions", s)
}

// Unsuppress removes suppressions of one address.
func (c *Client) Unsuppress(ctx context.Context, s SuppressionSelector) (SuppressionsRemoved, error) {
	return call[SuppressionsRemoved](ctx, c, http.MethodPost, "/v1/suppressions/remove", s)
}

// Suppressions returns a page of them.
func (c *Client) Suppressions(ctx context.Context, request SuppressionListRequest) (SuppressionPage, error) {
	return call[SuppressionPage](ctx, c, http.MethodPost, "/v1/suppressions/list", request)
}

// ImportSuppressions adds a list. After an error a part of it may be there.
func (c *Client) ImportSuppressions(ctx context.Context, i SuppressionImport, list io.Reader) (SuppressionsImported, error) {
	query := url.Values{"format": {i.Format}, "tenant": {i.Tenant}, "stream": {i.Stream}, "reason": {i.Reason}}
	body, err := c.send(ctx, http.MethodPost, "/v1/suppressions/import?"+query.Encode(), "application/octet-stream", list)
	if err != nil {
		return SuppressionsImported{}, err
	}
	defer body.Close()
	return readAnswer[SuppressionsImported](body)
}

// ExportSuppressions copies a list to w. After an error, ErrCut among them, the
// copy is not whole.
func (c *Client) ExportSuppressions(ctx context.Context, request SuppressionExport, w io.Writer) error {
	body, err := c.open(ctx, http.MethodPost, "/v1/suppressions/export", request)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return explainCut(err)
}
