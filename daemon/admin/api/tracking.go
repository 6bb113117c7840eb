package api

import (
	"context"
	"net/http"
	"time"
)

// TrackingDomain is a base of tracked links, and whether it answers.
type TrackingDomain struct {
	URL string `json:"url"`
	// Tenants are those whose mail carries its links.
	Tenants []string `json:"tenants"`
	// Status is untested, working or failing, since Since; mail goes out without
	// links to it unless it is working.
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
	// Probed and Succeeded are the times of the last probe and of the last one
	// that succeeded.
	Probed    time.Time `json:"probed,omitzero"`
	Succeeded time.Time `json:"succeeded,omitzero"`
	// Failure is what the last probe failed with, and Failures how many did in a
	// row.
	Failure  string `json:"failure,omitempty"`
	Failures int    `json:"failures"`
	// CertificateEnds is when the certificate that was shown expires.
	CertificateEnds time.Time `json:"certificate_ends,omitzero"`
}

// TrackingDomains returns the tracking domains that are tested.
func (c *Client) TrackingDomains(ctx context.Context) ([]TrackingDomain, error) {
	return call[[]TrackingDomain](ctx, c, http.MethodGet, "/v1/tracking/domains", nil)
}
