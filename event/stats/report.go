package stats

import (
	"errors"
	"strconv"
	"time"
)

// Group says what a report has a row for.
type Group string

// The groups. Streams are a tenant's, and campaigns a stream's: the same label
// in two streams makes two rows.
const (
	ByTenant   Group = "tenant"
	ByStream   Group = "stream"
	ByCampaign Group = "campaign"
	ByDay      Group = "day"
	ByLink     Group = "link"
)

// ErrGroup: a group that there is none of.
var ErrGroup = errors.New("statistics are grouped by tenant, stream, campaign, day or link")

// Query chooses what is reported; empty fields choose all.
type Query struct {
	Tenant, Stream, Campaign string
	// From and To are the first and the last day, in UTC.
	From, To time.Time
	Group    Group
	// Limit bounds the rows, not what is summed up; 0 for no bound.
	Limit int
}

// Report answers a Query.
type Report struct {
	Rows []Row
	// Total is that of all rows, also of those beyond the limit.
	Total Row
	// More rows there are beyond the limit.
	More int
	// MaskBelow is the least count of readers that is told.
	MaskBelow int
	// Until is when the last event counted happened.
	Until time.Time
}

// Row is what was counted of one campaign, day or whatever the group is, which
// the fields that belong to it name.
type Row struct {
	Tenant, Stream, Campaign, Day, Link string

	// Accepted recipients, and Sent: those of them for whom sending was tried
	// and has ended.
	Accepted, Sent, Delivered int64
	// Deferred counts attempts.
	Deferred int64
	Bounced  int64
	// Bounces by category.
	Bounces          map[string]int64
	Expired, Dropped int64

	Opens, Clicks            Hits
	Unsubscribed, Complained Figure
}

// Hits are all hits, those of people, and the recipients whose first one they
// were.
type Hits struct{ Raw, Human, Unique Figure }

// Figure is a count of readers, told or not.
type Figure struct {
	// Count, where nothing is hidden; where AtLeast is set, that or more.
	Count int64
	// Below says that the count is less, and is set instead of it.
	Below int64
	// AtLeast says that a part of the count would give a hidden one away.
	AtLeast bool
}

// Exact reports whether the count is the whole of it.
func (f Figure) Exact() bool { return f.Below == 0 && !f.AtLeast }

// String is the count, "<10" for one that is hidden, "70+" for what can be told
// of one, and "*" where that is nothing.
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

func (r *Row) setMail(c *counters) {
	r.Accepted, r.Sent, r.Delivered, r.Deferred = c.mail[accepted], c.mail[sent], c.mail[delivered], c.mail[deferred]
	r.Bounced, r.Bounces, r.Expired, r.Dropped = c.mail[bounced], c.bounces, c.mail[expired], c.mail[dropped]
}

func (r *Row) setReaders(f [readerCounts]Figure) {
	r.Opens = Hits{f[opensRaw], f[opensHuman], f[opensUnique]}
	r.Clicks = Hits{f[clicksRaw], f[clicksHuman], f[clicksUnique]}
	r.Unsubscribed, r.Complained = f[unsubscribed], f[complained]
}
