package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// StatsRequest chooses what GET /v1/stats answers; its fields are the query's.
// Empty ones choose all.
type StatsRequest struct {
	Tenant, Stream, Campaign string
	// From and To are the first and the last day, as 2026-03-01, in UTC.
	From, To string
	// By is tenant, stream, campaign, day or link; empty for campaign.
	By string
	// Limit bounds the rows; 0 for no bound.
	Limit int
}

// Stats answers GET /v1/stats.
type Stats struct {
	Rows []StatsRow `json:"rows"`
	// Total is that of all rows, also of those beyond the limit.
	Total StatsRow `json:"total"`
	// More rows there are beyond the limit.
	More int `json:"more,omitempty"`
	// MaskBelow is the least count of readers that is told.
	MaskBelow int `json:"mask_below"`
	// Until is when the last event counted happened.
	Until time.Time `json:"until,omitzero"`
}

// StatsRow is what was counted of one campaign, day or whatever it was asked by.
type StatsRow struct {
	Tenant   string `json:"tenant,omitempty"`
	Stream   string `json:"stream,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Day      string `json:"day,omitempty"`
	Link     string `json:"link,omitempty"`
	// Mail is absent in the row of a link, and so are opens, unsubscribes and
	// complaints.
	Mail         *StatsMail `json:"mail,omitempty"`
	Opens        *StatsHits `json:"opens,omitempty"`
	Clicks       StatsHits  `json:"clicks"`
	Unsubscribed *Figure    `json:"unsubscribed,omitempty"`
	Complained   *Figure    `json:"complained,omitempty"`
}

// StatsMail counts recipients by what became of them.
type StatsMail struct {
	Accepted int64 `json:"accepted"`
	// Sent are those for whom sending was tried and has ended.
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"`
	// Deferred counts attempts.
	Deferred int64 `json:"deferred"`
	Bounced  int64 `json:"bounced"`
	// Bounces by category.
	Bounces map[string]int64 `json:"bounces,omitempty"`
	Expired int64            `json:"expired"`
	Dropped int64            `json:"dropped"`
}

// StatsHits are all hits, those of people, and the recipients whose first one
// they were.
type StatsHits struct {
	Raw    Figure `json:"raw"`
	Human  Figure `json:"human"`
	Unique Figure `json:"unique"`
}

// Figure is a count of readers: a number, or the text "<10" where it is hidden,
// "70+" where only so much of it can be told, "*" where nothing can.
type Figure struct {
	Count int64
	// Below is set instead of Count, AtLeast beside it.
	Below   int64
	AtLeast bool
}

var (
	_ json.Marshaler   = Figure{}
	_ json.Unmarshaler = (*Figure)(nil)
)

// String is the figure as people read it.
func (f Figure) String() string {
	switch {
	case f.Below > 0:
		return "<" + strconv.FormatInt(f.Below, 10)
	case f.AtLeast && f.Count == 0:
		return "*"
	case f.AtLeast:
		return strconv.FormatInt(f.Count, 10) + "+"
	}
	return strconv.FormatInt(f.Count, 10)
}

// MarshalJSON writes a number or a text.
func (f Figure) MarshalJSON() ([]byte, error) {
	if f.Below > 0 || f.AtLeast {
		return json.Marshal(f.String())
	}
	return json.Marshal(f.Count)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Figure) UnmarshalJSON(b []byte) error {
	*f = Figure{}
	if len(b) > 0 && b[0] != '"' {
		return json.Unmarshal(b, &f.Count)
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	var err error
	if below, is := strings.CutPrefix(text, "<"); is {
		f.Below, err = strconv.ParseInt(below, 10, 64)
	} else if f.AtLeast = true; text != "*" {
		count, is := strings.CutSuffix(text, "+")
		if f.Count, err = strconv.ParseInt(count, 10, 64); !is {
			err = strconv.ErrSyntax
		}
	}
	if err != nil {
		return fmt.Errorf("figure %q: %w", text, err)
	}
	return nil
}

// Stats returns what was counted.
func (c *Client) Stats(ctx context.Context, request StatsRequest) (Stats, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"tenant": request.Tenant, "stream": request.Stream, "campaign": request.Campaign,
		"from": request.From, "to": request.To, "by": request.By,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if request.Limit != 0 {
		query.Set("limit", strconv.Itoa(request.Limit))
	}
	path := "/v1/stats"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return call[Stats](ctx, c, http.MethodGet, path, nil)
}
