package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/consent"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/tracking"
)

// chooser does what readers choose.
type chooser struct {
	unsubscriber
	accounts account.Directory
	list     *suppress.Store
	consents *consent.Store
	// landing returns when nothing is under way for an address.
	landing func(ctx context.Context, tenant string, a mail.Address)
}

func (d *daemon) chooser() *chooser {
	return &chooser{unsubscriber{d.suppress}, d.accounts, d.suppress, d.consents, d.awaitLanding}
}

var (
	_ tracking.Unsubscriber = (*chooser)(nil)
	_ tracking.Preferences  = (*chooser)(nil)
)

// landingTimeout bounds how long an answer waits for mail under way: less than
// the time that an unsubscription may take.
const landingTimeout = 10 * time.Second

// awaitLanding has whoever stopped mail to an address wait until what had passed
// the gate before is over. A server that takes longer has been sent it all.
func (d *daemon) awaitLanding(ctx context.Context, tenant string, a mail.Address) {
	ctx, cancel := context.WithTimeout(ctx, landingTimeout)
	defer cancel()
	if err := d.engine.AwaitLanding(ctx, tenant, a); err != nil {
		d.logger.Warn("answered an unsubscription while mail to the address was still under way", "tenant", tenant, "waited", landingTimeout)
	}
}

// Unsubscribe implements tracking.Unsubscriber. Once it returns nothing more is
// sent on the stream.
func (c *chooser) Unsubscribe(ctx context.Context, tenant, stream string, a mail.Address, message string, index int) error {
	err := c.unsubscriber.Unsubscribe(ctx, tenant, stream, a, message, index)
	if err == nil {
		c.landing(ctx, tenant, a)
	}
	return err
}

// Choices implements tracking.Preferences. It tells what the reader did, and
// nothing of other reasons not to mail them.
func (c *chooser) Choices(tenant, stream string, a mail.Address) (tracking.Choices, error) {
	t, ok := c.accounts.Tenant(tenant)
	if !ok {
		t = account.Tenant{Name: tenant}
	}
	choices := tracking.Choices{Tenant: cmp.Or(t.DisplayName, t.Name), Language: t.Language}
	entries, err := c.list.Lookup(tenant, a)
	if err != nil {
		return choices, err
	}
	left := map[string]bool{}
	for _, e := range entries {
		if e.Tenant == tenant && e.Reason == suppress.Unsubscribed {
			left[e.Stream] = true
		}
	}
	choices.AllLeft = left[""]
	for _, s := range streamsToLeave(t, stream) {
		choices.Streams = append(choices.Streams, tracking.StreamChoice{
			Name: s.Name, DisplayName: cmp.Or(s.DisplayName, s.Name), Left: left[s.Name],
		})
	}
	records, err := c.consents.Lookup(tenant, a)
	choices.Unmeasured = slices.ContainsFunc(records, func(r consent.Record) bool {
		return r.By == consent.Reader && r.Measure == account.MeasureNone
	})
	return choices, err
}

// streamsToLeave are those that readers can leave, and the one that their link
// is of, in the order of their names.
func streamsToLeave(t account.Tenant, of string) []account.Stream {
	var streams []account.Stream
	for _, s := range t.Streams {
		if s.Unsubscribe || s.Name == of {
			streams = append(streams, s)
		}
	}
	if _, known := t.Streams[of]; !known {
		streams = append(streams, account.Stream{Name: of})
	}
	slices.SortFunc(streams, func(a, b account.Stream) int { return strings.Compare(a.Name, b.Name) })
	return streams
}

// Choose implements tracking.Preferences.
func (c *chooser) Choose(ctx context.Context, x tracking.Choice) (changed bool, err error) {
	if one := x.Do == tracking.Leave || x.Do == tracking.Return; one != (x.Stream != "") {
		return false, fmt.Errorf("%w: %q of stream %q", errChoice, x.Do, x.Stream)
	}
	switch x.Do {
	case tracking.Leave, tracking.LeaveAll:
		changed, err = c.list.Add(ctx, suppress.Entry{
			Tenant: x.Tenant, Stream: x.Stream, Address: x.Address,
			Reason: suppress.Unsubscribed, Time: time.Now(), Source: x.Message,
		})
		if err == nil {
			c.landing(ctx, x.Tenant, x.Address)
		}
		return changed, err
	case tracking.Return, tracking.ReturnAll:
		removed, err := c.list.Remove(ctx, suppress.Selector{
			Tenant: x.Tenant, Address: x.Address, Reason: suppress.Unsubscribed,
			Stream: x.Stream, Whole: x.Do == tracking.ReturnAll,
		})
		return len(removed) > 0, err
	case tracking.Unmeasure:
		return true, c.consents.Set(ctx, consent.Record{
			Tenant: x.Tenant, Address: x.Address, By: consent.Reader, Measure: account.MeasureNone,
			Time: time.Now().UTC(), Source: x.Message,
		})
	case tracking.Measure:
		return c.consents.Remove(ctx, x.Tenant, x.Address, consent.Reader)
	}
	return false, fmt.Errorf("%w: %q", errChoice, x.Do)
}

var errChoice = errors.New("no such choice")
