package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Rates answers GET /v1/rates, whose query may name a tenant.
type Rates struct {
	Rates []Rate `json:"rates"`
}

// Rate says which shares of some mail bounced or were complained about.
type Rate struct {
	// Level is tenant, stream, campaign or site; what does not belong to it is
	// absent. A campaign without a name is all mail of its stream that has none.
	Level    string `json:"level"`
	Tenant   string `json:"tenant"`
	Stream   string `json:"stream,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Site     string `json:"site,omitempty"`
	// State is ok, few (too few recipients to be judged), warned, slowed or held.
	State string `json:"state"`
	// Since is when it came to be so, and Reason why, in words.
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// Hold is the id of the hold, Until the end of the pause.
	Hold  string    `json:"hold,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Released is when a hold was ended: complaints are only about what was
	// delivered since.
	Released time.Time `json:"released,omitzero"`
	// Delivered and Blocked within the window of bounces; Blocked were refused
	// for what the sender or the message is.
	Delivered  int        `json:"delivered"`
	Blocked    int        `json:"blocked"`
	Bounces    RateFigure `json:"bounces"`
	Complaints RateFigure `json:"complaints"`
}

// RateFigure is one share.
type RateFigure struct {
	// Count of Sample recipients are Percent of them.
	Count   int     `json:"count"`
	Sample  int     `json:"sample"`
	Percent float64 `json:"percent"`
	// Warn and Act are the thresholds in percent.
	Warn float64 `json:"warn"`
	Act  float64 `json:"act"`
	// Window that is looked at, in seconds.
	Window int `json:"window"`
	// Few: the sample is too small to be judged.
	Few bool `json:"few,omitempty"`
}

// Rates returns the rates of a tenant, of all where it is empty.
func (c *Client) Rates(ctx context.Context, tenant string) (Rates, error) {
	path := "/v1/rates"
	if tenant != "" {
		path += "?" + url.Values{"tenant": {tenant}}.Encode()
	}
	return call[Rates](ctx, c, http.MethodGet, path, nil)
}
