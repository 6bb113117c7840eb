package stats

import (
	"cmp"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// linkMeasures are what is counted of links.
func linkMeasures() []int { return []int{clicksRaw, clicksHuman, clicksUnique} }

// linkTable collects the links of the chosen campaigns by their texts. Those of
// too few readers, and those that cannot be told apart, are the others.
type linkTable struct {
	reader *reader
	named  map[string]*node
	others node
}

func (r *reader) reportLinks(report *Report) error {
	t := &linkTable{reader: r, named: map[string]*node{}}
	for _, leaf := range r.all.leaves() {
		if err := t.load(leaf); err != nil {
			return err
		}
	}
	total := r.inSpan(r.all)
	listed := t.listed(total)
	for _, n := range listed {
		row := Row{Link: n.names.campaign}
		row.setReaders(n.figures(r.threshold))
		report.Rows = append(report.Rows, row)
	}
	if row, some := t.rest(total, listed); some {
		report.Rows = append(report.Rows, row)
	}
	report.Total = total.row(r.threshold, "")
	return nil
}

// load adds the links of one campaign. Where its clicks are hidden its links
// are not told apart.
func (t *linkTable) load(leaf *node) error {
	tx, id := t.reader.tx, leaf.campaign.id
	texts, err := loadTexts(tx, id)
	if err != nil {
		return err
	}
	if leaf.hide[clicksRaw] || leaf.hide[clicksHuman] || leaf.hide[clicksUnique] {
		texts = nil
	}
	return scan(tx.Bucket([]byte(clicksBucket)), dayKey(id, 0)[:4], func(key, value []byte) error {
		row, err := readLinkDay(value)
		_, d := readDayKey(key)
		for place, c := range row {
			t.node(texts[place]).addClicks(d, c)
		}
		return err
	})
}

func loadTexts(tx *bolt.Tx, id uint32) (map[uint64]string, error) {
	texts := map[uint64]string{}
	err := scan(tx.Bucket([]byte(linksBucket)), dayKey(id, 0)[:4], func(key, value []byte) error {
		l, err := readLink(key, value)
		texts[l.place] = l.text
		return err
	})
	return texts, err
}

func (t *linkTable) node(text string) *node {
	if text == "" {
		return &t.others
	}
	n := t.named[text]
	if n == nil {
		n = &node{names: names{campaign: text}}
		t.named[text] = n
	}
	return n
}

func (n *node) addClicks(d day, c *clicks) {
	i, found := slices.BinarySearchFunc(n.days, d, func(x dayCell, d day) int { return cmp.Compare(x.day, d) })
	if !found {
		n.days = slices.Insert(n.days, i, dayCell{day: d})
	}
	for _, to := range []*counters{&n.total, &n.days[i].total} {
		to.readers[clicksRaw] += c.raw
		to.readers[clicksHuman] += c.human
		to.readers[clicksUnique] += c.unique
	}
}

// listed returns the links that can be told, those with the most clicks first,
// so many that what is left over is not small.
func (t *linkTable) listed(total *node) []*node {
	var list []*node
	for _, n := range t.named {
		if n = t.judge(n); n != nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *node) int {
		x, y := &a.total.readers, &b.total.readers
		return cmp.Or(cmp.Compare(y[clicksUnique], x[clicksUnique]), cmp.Compare(y[clicksRaw], x[clicksRaw]),
			cmp.Compare(a.names.campaign, b.names.campaign))
	})
	for len(list) > 0 && t.leavesLittle(total, list) {
		list = list[:len(list)-1]
	}
	return list
}

// judge returns the link over the days that were asked for, or nil where one of
// its counts is of too few or would give such a one away.
func (t *linkTable) judge(n *node) *node {
	r := t.reader
	// The readers of a link are those who followed it. Where hits are only
	// counted nobody knows them from each other, and clicks stand for them.
	measures := linkMeasures()
	n.total.mail[delivered] = n.total.readers[clicksUnique]
	if n.total.readers[clicksUnique] == 0 {
		n.total.mail[delivered] = n.total.readers[clicksHuman]
		measures = []int{clicksRaw, clicksHuman}
	}
	n.judge(r.threshold)
	n.judgeDays(r.threshold)
	n = r.inSpan(n)
	for _, m := range measures {
		if n.hide[m] || n.total.readers[m] < r.threshold || n.total.readers[clicksRaw] == 0 {
			return nil
		}
	}
	return n
}

func (t *linkTable) leavesLittle(total *node, listed []*node) bool {
	for _, m := range []int{clicksRaw, clicksHuman} { // first clicks of links do not add up
		if !total.hide[m] && small(left(total, listed, m), t.reader.threshold) {
			return true
		}
	}
	return false
}

func left(total *node, listed []*node, m int) int64 {
	rest := total.total.readers[m]
	for _, n := range listed {
		rest -= n.total.readers[m]
	}
	return rest
}

// rest is the row of all links that are not listed; its first clicks are those
// of each of them.
func (t *linkTable) rest(total *node, listed []*node) (Row, bool) {
	sum := node{names: names{campaign: otherName}}
	for _, n := range append(t.unlisted(listed), &t.others) {
		sum.total.add(&t.reader.spanned(n).total, 1)
	}
	for _, m := range linkMeasures() {
		sum.hide[m] = total.hide[m] || small(sum.total.readers[m], t.reader.threshold)
	}
	row := Row{Link: otherName}
	row.setReaders(sum.figures(t.reader.threshold))
	return row, sum.total.readers[clicksRaw] > 0
}

func (t *linkTable) unlisted(listed []*node) []*node {
	shown := map[string]bool{}
	for _, n := range listed {
		shown[n.names.campaign] = true
	}
	var rest []*node
	for text, n := range t.named {
		if !shown[text] {
			rest = append(rest, n)
		}
	}
	return rest
}

// spanned sums the days that were asked for, with no regard to what is hidden.
func (r *reader) spanned(n *node) *node {
	if r.span == nil {
		return n
	}
	return n.within(*r.span, 0)
}
