package tracking

import (
	"net/http"
	"net/url"
	"time"

	"github.com/postrider-mta/postrider/tracking/hit"
	"github.com/postrider-mta/postrider/tracking/token"
)

// Whom says of whom tokens tell. The zero Whom is the recipient that message
// and index name, whose wishes the tokens do not know.
type Whom struct {
	// Person is the reader's, so that a later wish of theirs is found.
	Person token.Person
	// Counted makes tokens of campaigns instead of persons: Campaign is its
	// label.
	Counted  bool
	Campaign string
	// LastOpen makes a pixel of which nothing is kept but the day of the
	// Person's last opening.
	LastOpen bool
}

// PixelURL returns the URL of the pixel that Render would add.
func (o RenderOptions) PixelURL() (string, error) {
	var sealed string
	var err error
	switch keys := o.Links.keys; {
	case o.Whom.Counted:
		sealed, err = keys.SealCountedOpen(o.counted())
	case o.Whom.LastOpen:
		sealed, err = keys.SealLastOpen(token.LastOpen{Day: dayOf(accepted(o.Message)), Person: o.Whom.Person})
	default:
		sealed, err = keys.SealOpen(token.Open{Message: o.Message, Index: o.Index, Person: o.Whom.Person})
	}
	return o.Links.base + openPath + sealed + openSuffix, err
}

// clickURL returns the URL that redirects to target. An error wraps
// token.ErrPayload: the target is too long.
func (o RenderOptions) clickURL(target string) (string, error) {
	var sealed string
	var err error
	if o.Whom.Counted {
		sealed, err = o.Links.keys.SealCountedLink(token.CountedLink{Counted: o.counted(), URL: target})
	} else {
		sealed, err = o.Links.keys.SealLink(token.Link{Message: o.Message, Index: o.Index, URL: target, Person: o.Whom.Person})
	}
	return o.Links.base + clickPath + sealed, err
}

func (o RenderOptions) counted() token.Counted {
	return token.Counted{Day: dayOf(accepted(o.Message)), Tenant: o.Tenant, Stream: o.Stream, Campaign: o.Whom.Campaign}
}

// dayOf returns the day of a time in UTC.
func dayOf(t time.Time) token.Day { return token.Day(max(t.Unix(), 0) / secondsPerDay) }

// begin is when a day begins.
func begin(d token.Day) time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// end is when a day is over.
func end(d token.Day) time.Time { return time.Unix((int64(d)+1)*secondsPerDay, 0) }

const secondsPerDay = 24 * 60 * 60

// origin is what a token says a hit belongs to: a recipient, or a campaign.
type origin struct {
	message [12]byte
	index   uint32
	person  token.Person
	// counted is nil where there is a recipient.
	counted *token.Counted
}

// openLink opens the token of a link of either kind.
func (t *Tracker) openLink(sealed string) (of origin, url string, err error) {
	link, err := t.keys.OpenLink(sealed)
	if err == nil {
		return origin{message: link.Message, index: link.Index, person: link.Person}, link.URL, nil
	}
	counted, err := t.keys.OpenCountedLink(sealed)
	return origin{counted: &counted.Counted}, counted.URL, err
}

// openPixel opens the token of a pixel of those kinds that make an event.
func (t *Tracker) openPixel(sealed string) (of origin, err error) {
	open, err := t.keys.OpenOpen(sealed)
	if err == nil {
		return origin{message: open.Message, index: open.Index, person: open.Person}, nil
	}
	counted, err := t.keys.OpenCountedOpen(sealed)
	return origin{counted: &counted}, err
}

// noteOpen takes note of a person's last opening, and reports whether the token
// is of that kind.
func (t *Tracker) noteOpen(r *http.Request, sealed string) bool {
	last, err := t.keys.OpenLastOpen(sealed)
	if err != nil {
		return false
	}
	now := time.Now()
	if !t.heard(r, end(last.Day), now) {
		return true
	}
	machine := t.classifier.Request(hit.Open, r, t.client(r))
	t.metrics.countMachine(machine)
	if machine == hit.Human && t.openings != nil {
		t.openings.NoteOpen(last.Person, now)
	}
	return true
}

// siteOf leaves of a target what surely tells of nobody.
func siteOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/"
}
