package stats

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Report reads statistics. Without days it costs a row for each campaign of the
// tenant, with them one for each day of each campaign that is chosen.
func (s *Store) Report(ctx context.Context, q Query) (*Report, error) {
	if !slices.Contains([]Group{ByTenant, ByStream, ByCampaign, ByDay, ByLink}, q.Group) {
		return nil, fmt.Errorf("%w, not by %q", ErrGroup, q.Group)
	}
	var report *Report
	err := s.view(func(tx *bolt.Tx) (err error) {
		r := &reader{ctx: ctx, tx: tx, query: q, threshold: int64(s.options.MaskBelow), span: spanOf(q)}
		report, err = r.report()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	return report, nil
}

// spanOf returns the days of a query, nil for all.
func spanOf(q Query) *span {
	if q.From.IsZero() && q.To.IsZero() {
		return nil
	}
	s := &span{0, ^day(0)}
	if !q.From.IsZero() {
		s.from = dayOf(q.From)
	}
	if !q.To.IsZero() {
		s.to = dayOf(q.To)
	}
	return s
}

// reader answers one query inside a transaction.
type reader struct {
	ctx       context.Context
	tx        *bolt.Tx
	query     Query
	threshold int64
	span      *span
	// streams are the chosen parts of them, tenants and all what these add up
	// to.
	streams, tenants []*node
	all              *node
}

func (r *reader) report() (*Report, error) {
	report := &Report{MaskBelow: int(r.threshold)}
	if until := number(r.tx.Bucket([]byte(metaBucket)).Get([]byte(untilKey))); until != 0 {
		report.Until = time.Unix(0, int64(until)).UTC()
	}
	if err := r.choose(); err != nil {
		return nil, err
	}
	if r.span != nil || r.query.Group == ByDay {
		if err := r.loadDays(); err != nil {
			return nil, err
		}
	}
	var err error
	switch r.query.Group {
	case ByDay:
		r.reportDays(report)
	case ByLink:
		err = r.reportLinks(report)
	default:
		r.reportNodes(report)
	}
	if limit := r.query.Limit; limit > 0 && len(report.Rows) > limit {
		report.More = len(report.Rows) - limit
		report.Rows = report.Rows[:limit]
	}
	return report, err
}

// choose reads the campaigns that can be asked for together, works out what of
// their sums may be told, and picks what the query asks for.
func (r *reader) choose() error {
	streams, err := r.loadStreams()
	if err != nil {
		return err
	}
	r.all = &node{}
	for len(streams) > 0 {
		n := 1
		for n < len(streams) && streams[n].tenant == streams[0].tenant {
			n++
		}
		r.chooseTenant(streams[:n])
		streams = streams[n:]
	}
	r.all.children = r.tenants
	if len(r.tenants) == 1 && r.query.Tenant != "" {
		r.all = r.tenants[0]
		return nil
	}
	r.all.judgeSum(r.query.Stream == "" && r.query.Campaign == "", r.threshold)
	return nil
}

// chooseTenant picks from all streams of one tenant.
func (r *reader) chooseTenant(streams []*node) {
	var picked []*node
	for _, s := range streams {
		s.judgeSum(true, r.threshold)
		if r.query.Stream != "" && s.stream != r.query.Stream {
			continue
		}
		if r.query.Campaign == "" {
			picked = append(picked, s)
			continue
		}
		for _, c := range s.children {
			if c.campaign.names.campaign == r.query.Campaign {
				picked = append(picked, c)
			}
		}
	}
	r.streams = append(r.streams, picked...)
	switch whole := r.query.Stream == "" && r.query.Campaign == ""; {
	case len(picked) == 0:
	case len(picked) == 1 && !whole:
		r.tenants = append(r.tenants, picked[0])
	default:
		t := &node{names: names{tenant: streams[0].tenant}, children: picked}
		t.judgeSum(whole, r.threshold)
		r.tenants = append(r.tenants, t)
	}
}

// loadStreams reads all campaigns of the tenant, or of all.
func (r *reader) loadStreams() ([]*node, error) {
	var prefix []byte
	if r.query.Tenant != "" {
		prefix = appendText(nil, cut(r.query.Tenant))
	}
	var streams []*node
	err := scan(r.tx.Bucket([]byte(campaignsBucket)), prefix, func(key, value []byte) error {
		c, err := readCampaign(key, value)
		if err != nil {
			return err
		}
		leaf := &node{names: c.names, campaign: c, cell: cell{total: c.total}}
		leaf.judge(r.threshold)
		of := names{c.tenant, c.stream, ""}
		if n := len(streams); n == 0 || streams[n-1].names != of {
			streams = append(streams, &node{names: of})
		}
		last := streams[len(streams)-1]
		last.children = append(last.children, leaf)
		return r.ctx.Err()
	})
	return streams, err
}

// leaves are the campaigns of a node.
func (n *node) leaves() []*node {
	if n.campaign != nil {
		return []*node{n}
	}
	var all []*node
	for _, child := range n.children {
		all = append(all, child.leaves()...)
	}
	return all
}

// loadDays reads the days of what was chosen, and works out what of them may be
// told.
func (r *reader) loadDays() error {
	for _, leaf := range r.all.leaves() {
		if err := r.loadDaysOf(leaf); err != nil {
			return err
		}
		leaf.judgeDays(r.threshold)
	}
	above := append(slices.Clone(r.streams), r.tenants...)
	done := map[*node]bool{}
	for _, n := range append(above, r.all) {
		if n.campaign == nil && !done[n] {
			done[n] = true
			n.sumDays()
			n.judgeDaysAbove(r.threshold)
		}
	}
	return r.ctx.Err()
}

func (r *reader) loadDaysOf(leaf *node) error {
	return scan(r.tx.Bucket([]byte(daysBucket)), dayKey(leaf.campaign.id, 0)[:4], func(key, value []byte) error {
		f := fields{b: value}
		_, d := readDayKey(key)
		leaf.days = append(leaf.days, dayCell{d, cell{total: f.counters()}})
		return f.err
	})
}

// sumDays adds the days of a node's campaigns up.
func (n *node) sumDays() {
	cells := map[day][]*cell{}
	for _, leaf := range n.leaves() {
		for i := range leaf.days {
			cells[leaf.days[i].day] = append(cells[leaf.days[i].day], &leaf.days[i].cell)
		}
	}
	for d, parts := range cells {
		sum := dayCell{day: d}
		sum.gather(parts)
		n.days = append(n.days, sum)
	}
	slices.SortFunc(n.days, func(a, b dayCell) int { return cmp.Compare(a.day, b.day) })
}

// inSpan is the node over the days that were asked for.
func (r *reader) inSpan(n *node) *node {
	if r.span == nil {
		return n
	}
	return n.within(*r.span, r.threshold)
}

func (r *reader) reportDays(report *Report) {
	total := r.inSpan(r.all)
	for i := range total.days {
		c := &total.days[i]
		row := Row{Day: c.day.String()}
		row.setMail(&c.total)
		row.setReaders(c.figures(r.threshold))
		report.Rows = append(report.Rows, row)
	}
	report.Total = total.row(r.threshold, "")
}

func (r *reader) reportNodes(report *Report) {
	nodes := r.tenants
	switch r.query.Group {
	case ByStream:
		nodes = r.streams
	case ByCampaign:
		nodes = r.all.leaves()
		slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(b.campaign.last, a.campaign.last) })
	}
	var rows []*node
	for _, n := range nodes {
		if n = r.inSpan(n); r.span == nil || len(n.days) > 0 {
			rows = append(rows, n)
		}
	}
	total := *r.inSpan(r.all)
	if r.span != nil {
		total.guard(rows, r.threshold)
	}
	for _, n := range rows {
		report.Rows = append(report.Rows, n.row(r.threshold, r.query.Group))
	}
	report.Total = total.row(r.threshold, "")
}

// row is the node as a report's row, with the names that belong to its group.
func (n *node) row(threshold int64, group Group) Row {
	var row Row
	switch group {
	case ByCampaign:
		row.Campaign = n.campaign.names.campaign
		fallthrough
	case ByStream:
		row.Stream = n.stream
		fallthrough
	case ByTenant:
		row.Tenant = n.tenant
	}
	row.setMail(&n.total)
	row.setReaders(n.figures(threshold))
	return row
}
