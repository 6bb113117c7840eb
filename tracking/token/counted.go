package token

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Day is a day in UTC, counted from 1 January 1970.
type Day uint32

// Counted is what a hit belongs to that is counted and not tied to anybody: all
// recipients of a campaign have the same.
type Counted struct {
	// Day on which the message was accepted.
	Day                      Day
	Tenant, Stream, Campaign string
}

// CountedLink is the payload of a link whose clicks are only counted.
type CountedLink struct {
	Counted
	// URL is the target, exactly as in the message.
	URL string
}

// LastOpen is the payload of a pixel of which nothing is kept but the day on
// which the person opened something last.
type LastOpen struct {
	// Day on which the message was accepted.
	Day    Day
	Person Person
}

// maxCampaign is the longest campaign, in octets: submission allows 128
// characters.
const maxCampaign = 512

// SealCountedLink returns the token of a link.
func (r *Keyring) SealCountedLink(l CountedLink) (string, error) {
	if l.URL == "" || len(l.URL) > MaxURL {
		return "", fmt.Errorf("%w: URL of %d octets", ErrPayload, len(l.URL))
	}
	b, err := l.append(make([]byte, 0, 64+len(l.URL)))
	if err != nil {
		return "", err
	}
	code, prefix := scheme(l.URL)
	return r.Seal(PurposeCountedClick, append(append(b, code), l.URL[len(prefix):]...))
}

// OpenCountedLink is the inverse of SealCountedLink.
func (r *Keyring) OpenCountedLink(token string) (CountedLink, error) {
	d, err := r.decode(PurposeCountedClick, token)
	if err != nil {
		return CountedLink{}, err
	}
	l := CountedLink{Counted: d.counted()}
	l.URL = d.url(d.octet())
	if d.failed {
		return CountedLink{}, ErrToken
	}
	return l, nil
}

// SealCountedOpen returns the token of a pixel.
func (r *Keyring) SealCountedOpen(c Counted) (string, error) {
	b, err := c.append(nil)
	if err != nil {
		return "", err
	}
	return r.Seal(PurposeCountedOpen, b)
}

// OpenCountedOpen is the inverse of SealCountedOpen.
func (r *Keyring) OpenCountedOpen(token string) (Counted, error) {
	d, err := r.decode(PurposeCountedOpen, token)
	if err != nil {
		return Counted{}, err
	}
	c := d.counted()
	if !d.done() {
		return Counted{}, ErrToken
	}
	return c, nil
}

// SealLastOpen returns the token of a pixel. It needs a person.
func (r *Keyring) SealLastOpen(o LastOpen) (string, error) {
	if o.Person == (Person{}) {
		return "", fmt.Errorf("%w: nobody's", ErrPayload)
	}
	return r.Seal(PurposeLastOpen, append(binary.AppendUvarint(nil, uint64(o.Day)), o.Person[:]...))
}

// OpenLastOpen is the inverse of SealLastOpen.
func (r *Keyring) OpenLastOpen(token string) (LastOpen, error) {
	d, err := r.decode(PurposeLastOpen, token)
	if err != nil {
		return LastOpen{}, err
	}
	o := LastOpen{Day: d.day(), Person: d.person()}
	if !d.done() {
		return LastOpen{}, ErrToken
	}
	return o, nil
}

func (c Counted) append(b []byte) ([]byte, error) {
	if len(c.Tenant) > MaxName || len(c.Stream) > MaxName || len(c.Campaign) > maxCampaign {
		return nil, fmt.Errorf("%w: tenant, stream or campaign too long", ErrPayload)
	}
	b = binary.AppendUvarint(b, uint64(c.Day))
	for _, name := range []string{c.Tenant, c.Stream, c.Campaign} {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return b, nil
}

func (d *decoder) counted() Counted {
	return Counted{Day: d.day(), Tenant: d.text(MaxName), Stream: d.text(MaxName), Campaign: d.text(maxCampaign)}
}

func (d *decoder) day() Day { return Day(d.uvarint(math.MaxUint32)) }
