package stats

import (
	"crypto/sha256"
	"encoding/binary"
	"net/url"
	"slices"
	"strings"
)

// maxURL bounds what is kept of a URL, in octets.
const maxURL = 512

// CleanURL is a link as it is shown where its query is not: without what may
// tell of one reader. It is empty for what is no URL.
func CleanURL(raw string) string { return cleanURL(raw, false) }

// cleanURL takes out of a link what may tell of one reader: user, fragment,
// what in the path looks like an address or a token, and, unless queries is
// set, the query. It returns "" for what is no URL.
func cleanURL(raw string, queries bool) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if personal(s) {
			segments[i] = "*"
		}
	}
	clean := strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + strings.Join(segments, "/")
	if queries && u.RawQuery != "" {
		clean += "?" + cleanQuery(u.RawQuery)
	}
	if len(clean) > maxURL {
		clean = clean[:maxURL]
	}
	return strings.ToValidUTF8(clean, "*")
}

// cleanQuery keeps a query but for values with an address in them.
func cleanQuery(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, _ := strings.Cut(pair, "="); holdsAddress(pair) {
			pairs[i] = name + "=*"
			if holdsAddress(name) {
				pairs[i] = "*"
			}
		}
	}
	return strings.Join(pairs, "&")
}

func holdsAddress(s string) bool {
	return strings.Contains(s, "@") || strings.Contains(strings.ToLower(s), "%40")
}

// Segments of a path that are so long and so mixed are not written by people.
const (
	longNumber = 6
	longHex    = 16
	longToken  = 20
)

// personal reports whether a segment of a path looks like an address, a number
// of somebody or something, or a token.
func personal(segment string) bool {
	if holdsAddress(segment) {
		return true
	}
	n := countLetters(segment)
	switch {
	case n.digits == len(segment):
		return n.digits >= longNumber
	case n.digits > 0 && n.digits+n.hex+n.dashes == len(segment):
		return n.digits+n.hex >= longHex
	case len(segment) < longToken:
		return false
	}
	cases := n.digits > 1 && n.upper > 1 && n.lower > 1
	return cases || n.dashes == 0 && 5*n.digits >= len(segment)
}

// letters are how many of each kind a text has.
type letters struct{ digits, hex, upper, lower, dashes int }

func countLetters(text string) letters {
	var n letters
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			n.digits++
		case c >= 'A' && c <= 'Z':
			n.upper++
		case c >= 'a' && c <= 'z':
			n.lower++
		case c == '-':
			n.dashes++
		}
		if c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			n.hex++
		}
	}
	return n
}

// link is one of a campaign's, with a place of its own. Its text is kept only
// once enough readers have followed it: before, a hash stands for it, which
// means nothing outside this file.
type link struct {
	key    []byte
	place  uint64
	unique uint64
	text   string
	// seen is the text as the batch has it.
	seen    string
	changed bool
}

const linkHashOctets = 8

// otherPlace is that of the links beyond the bound.
const otherPlace = 0

func (l *link) append(b []byte) []byte {
	b = binary.AppendUvarint(b, l.place)
	b = binary.AppendUvarint(b, l.unique)
	return append(b, l.text...)
}

func readLink(key, value []byte) (*link, error) {
	f := fields{b: value}
	l := &link{key: slices.Clone(key), place: f.number(), unique: f.number()}
	l.text = string(f.b)
	return l, f.err
}

func (t *transaction) linkKey(c *campaign, text string) []byte {
	hash := sha256.Sum256(append(slices.Clone(t.store.salt), text...))
	return append(binary.BigEndian.AppendUint32(nil, c.id), hash[:linkHashOctets]...)
}

type urlOfCampaign struct {
	campaign uint32
	url      string
}

// link is findLink's answer, remembered.
func (t *transaction) link(c *campaign, raw string) (*link, error) {
	at := urlOfCampaign{c.id, raw}
	if l := t.urls[at]; l != nil {
		return l, nil
	}
	l, err := t.findLink(c, raw)
	if err == nil {
		t.urls[at] = l
	}
	return l, err
}

// findLink finds the link of a click, or gives it a place while there are any.
func (t *transaction) findLink(c *campaign, raw string) (*link, error) {
	text := cleanURL(raw, t.store.options.LinkQueries)
	if text == "" {
		return &link{place: otherPlace}, nil
	}
	key := t.linkKey(c, text)
	if l := t.links[string(key)]; l != nil {
		return l, nil
	}
	l := &link{key: key}
	if value := t.bucket(linksBucket).Get(key); value != nil {
		var err error
		if l, err = readLink(key, value); err != nil {
			return nil, err
		}
	} else if c.links >= uint64(t.store.options.Links) {
		return &link{place: otherPlace}, nil
	} else {
		c.links++
		l.place, l.changed = c.links, true
	}
	l.seen = text
	t.links[string(key)] = l
	return l, nil
}

// name gives a link its text once it is one of many readers.
func (l *link) name(enough int) {
	if l.key != nil && l.text == "" && l.seen != "" && l.unique >= uint64(max(0, enough)) {
		l.text, l.changed = l.seen, true
	}
}

// clicks are the counts of one link on one day.
type clicks struct{ raw, human, unique int64 }

// linkDay holds the clicks of one day of one campaign, by the links' places.
type linkDay map[uint64]*clicks

func (d linkDay) at(place uint64) *clicks {
	c := d[place]
	if c == nil {
		c = &clicks{}
		d[place] = c
	}
	return c
}

func (d linkDay) append(b []byte) []byte {
	places := make([]uint64, 0, len(d))
	for place := range d {
		places = append(places, place)
	}
	slices.Sort(places)
	for _, place := range places {
		c := d[place]
		for _, n := range []uint64{place, uint64(c.raw), uint64(c.human), uint64(c.unique)} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

func readLinkDay(value []byte) (linkDay, error) {
	d := linkDay{}
	f := fields{b: value}
	for len(f.b) > 0 {
		c := d.at(f.number())
		c.raw, c.human, c.unique = int64(f.number()), int64(f.number()), int64(f.number())
	}
	return d, f.err
}
