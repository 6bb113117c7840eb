package stats

import (
	"cmp"
	"slices"
)

// What is masked, and why it stays so: docs/statistics.md. Counts of readers
// that are small are hidden, and so is as much around them as keeps them from
// being found by subtraction. This is worked out over whole tables, and never
// over what a query happens to choose, so that no two queries differ by a small
// count.

// hidden says for each count of readers whether it is hidden.
type hidden [readerCounts]bool

// cover is what is hidden of a sum: so many cells, that are so much together, of
// so many readers. Whoever knows the sum and all else of it knows this too.
type cover struct {
	cells        int
	sum, readers int64
}

func (c *cover) add(o cover) {
	c.cells, c.sum, c.readers = c.cells+o.cells, c.sum+o.sum, c.readers+o.readers
}

// holds reports whether the sum gives nothing away.
func (c cover) holds(threshold int64) bool {
	return c.cells == 0 || c.cells > 1 && c.sum >= threshold && c.readers >= threshold
}

// small reports whether a count is of too few.
func small(value, threshold int64) bool { return value > 0 && value < threshold }

// withhold hides more of the values, the smallest first, until what is hidden
// covers itself. It reports false where there are not enough: then the sum must
// be hidden.
func withhold(values []int64, hide []bool, threshold int64) bool {
	var c cover
	var rest []int
	for i, v := range values {
		switch {
		case hide[i]:
			c.add(cover{1, v, threshold})
		case v > 0:
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	for _, i := range rest {
		if c.holds(threshold) {
			break
		}
		hide[i] = true
		c.add(cover{1, values[i], threshold})
	}
	return c.holds(threshold)
}

// node is a campaign, a stream, a tenant or any choice of campaigns, with what
// may be told of it.
type node struct {
	names
	// campaign is there for a single one, children for more.
	campaign *campaign
	children []*node
	cell
	// days are those with anything counted, in order, once they are asked for.
	days []dayCell
}

// cell is a sum of counts.
type cell struct {
	total counters
	hide  hidden
	// told is what of a hidden sum can be told, parts what cannot.
	told  [readerCounts]int64
	parts [readerCounts]cover
}

type dayCell struct {
	day day
	cell
}

// judge hides what is small in a campaign. Of one with few readers a zero tells
// as much as any other count.
func (n *node) judge(threshold int64) {
	few := n.fewReaders(threshold)
	for m, v := range n.total.readers {
		n.set(m, few || small(v, threshold), n.readers())
	}
}

// readers are those whom anything of the node has reached, on whatever day.
func (n *node) readers() int64 { return n.total.mail[delivered] }

func (n *node) fewReaders(threshold int64) bool { return n.readers() < threshold }

// set hides a count of so many readers that has no parts, or shows it.
func (c *cell) set(m int, hide bool, readers int64) {
	c.hide[m] = hide
	c.told[m], c.parts[m] = c.total.readers[m], cover{}
	if hide {
		c.told[m], c.parts[m] = 0, cover{1, c.total.readers[m], readers}
	}
}

// gather makes a sum of others. What is hidden of them stays hidden in it until
// it covers itself.
func (c *cell) gather(others []*cell) {
	for _, o := range others {
		c.total.add(&o.total, 1)
		for m := range c.parts {
			c.told[m] += o.told[m]
			c.parts[m].add(o.parts[m])
		}
	}
}

// settle hides what is small in a sum, or would give away a part of it.
func (c *cell) settle(few bool, threshold int64) {
	for m, v := range c.total.readers {
		c.hide[m] = few || small(v, threshold) || !c.parts[m].holds(threshold)
		if !c.hide[m] {
			c.told[m], c.parts[m] = v, cover{}
		}
	}
}

// judgeSum works a node out from its children. Where the choice is not whole, as
// a label in some of the streams, nothing covers: another choice may hold all
// but one of the same.
func (n *node) judgeSum(whole bool, threshold int64) {
	cells := make([]*cell, len(n.children))
	for i, child := range n.children {
		cells[i] = &child.cell
	}
	n.gather(cells)
	if !whole {
		for m := range n.parts {
			n.parts[m].cells = min(n.parts[m].cells, 1)
		}
	}
	n.settle(n.fewReaders(threshold), threshold)
}

// judgeDays hides what of a campaign's days is small, or would be found through
// the others and their sum.
func (n *node) judgeDays(threshold int64) {
	for m := range n.hide {
		values, hide := make([]int64, len(n.days)), make([]bool, len(n.days))
		for i := range n.days {
			values[i] = n.days[i].total.readers[m]
			hide[i] = n.hide[m] || small(values[i], threshold)
		}
		withhold(values, hide, threshold)
		for i := range n.days {
			n.days[i].set(m, hide[i], n.readers())
		}
	}
}

// judgeDaysAbove works the days of a node out from those of its campaigns.
func (n *node) judgeDaysAbove(threshold int64) {
	few := n.fewReaders(threshold)
	for i := range n.days {
		n.days[i].settle(few, threshold)
	}
	for m := range n.hide {
		if !n.hide[m] {
			n.withholdDays(m, threshold)
		}
	}
}

// withholdDays hides more days where the told sum gives away what the hidden
// ones hide.
func (n *node) withholdDays(m int, threshold int64) {
	values, hide := make([]int64, len(n.days)), make([]bool, len(n.days))
	for i := range n.days {
		c := &n.days[i]
		values[i], hide[i] = c.total.readers[m], c.hide[m]
		if hide[i] {
			values[i] -= c.told[m]
		}
	}
	enough := withhold(values, hide, threshold)
	told := int64(0)
	for i := range n.days {
		c := &n.days[i]
		if hide[i] && !c.hide[m] {
			c.set(m, true, n.readers())
		}
		told += c.told[m]
	}
	if !enough {
		n.hide[m], n.told[m] = true, told
	}
}

// span is a stretch of days.
type span struct{ from, to day }

func (s span) holds(d day) bool { return s.from <= d && d <= s.to }

// within returns the sum over some of the days. It is told where all that is
// hidden of the days lies inside, or all outside.
func (n *node) within(s span, threshold int64) *node {
	part := &node{names: n.names, campaign: n.campaign, children: n.children}
	var inside []*cell
	var outside [readerCounts]int
	for i := range n.days {
		c := &n.days[i]
		if s.holds(c.day) {
			part.days = append(part.days, *c)
			inside = append(inside, &c.cell)
			continue
		}
		for m, hide := range c.hide {
			if hide {
				outside[m]++
			}
		}
	}
	part.gather(inside)
	few := n.fewReaders(threshold)
	for m, v := range part.total.readers {
		hides := 0
		for _, c := range inside {
			if c.hide[m] {
				hides++
			}
		}
		part.hide[m] = few || hides > 0 && (outside[m] > 0 || n.hide[m])
		if !part.hide[m] {
			part.told[m], part.parts[m] = v, cover{}
		}
	}
	return part
}

// guard hides of a sum what would give away the one hidden row of a table.
func (n *node) guard(rows []*node, threshold int64) {
	for m := range n.hide {
		var c cover
		told := int64(0)
		for _, row := range rows {
			told += row.told[m]
			if row.hide[m] {
				c.add(cover{1, row.total.readers[m] - row.told[m], row.readers()})
			}
		}
		if !n.hide[m] && !c.holds(threshold) {
			n.hide[m], n.told[m] = true, told
		}
	}
}

// figures are the counts as they may be told.
func (c *cell) figures(threshold int64) [readerCounts]Figure {
	var f [readerCounts]Figure
	for m, v := range c.total.readers {
		switch {
		case !c.hide[m]:
			f[m].Count = v
		case v < threshold:
			f[m].Below = threshold
		default:
			f[m] = Figure{Count: c.told[m], AtLeast: true}
		}
	}
	return f
}
