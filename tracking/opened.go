package tracking

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/tracking/token"
)

// ErrURL is wrapped when a URL is not one that Links makes.
var ErrURL = errors.New("no tracked link")

// Opened is what a tracked URL holds.
type Opened struct {
	// Kind is click, open, unsubscribe or preferences; the last two have the same
	// token.
	Kind string
	// Host is the tracker's, in lower case, with its port.
	Host string
	// Key is the id of the key it was made with.
	Key token.ID
	// Message and Index name the recipient, Accepted when the message came.
	Message  [12]byte
	Index    uint32
	Accepted time.Time
	// Measure is what a hit leaves behind: individual, aggregate or hygiene;
	// empty for an unsubscription. Message and Index are those of individual
	// ones alone, Campaign is that of aggregate ones.
	Measure  string
	Campaign string
	// Target is where a click leads.
	Target string
	// Tenant, Stream and Address are what an unsubscription is about.
	Tenant, Stream, Address string
}

// OpenURL tells what a URL holds that was made with one of the keys. Errors wrap
// ErrURL, or are token's; with those come kind, host and key as the URL has them.
func OpenURL(keys *token.Keyring, address string) (Opened, error) {
	// What text has around a link is often copied with it.
	address = strings.TrimRight(strings.Trim(address, " \t\r\n<>\"'()"), ".,;")
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return Opened{}, fmt.Errorf("%w: want the whole URL, from https:// on", ErrURL)
	}
	o := Opened{Host: strings.ToLower(u.Host)}
	sealed := ""
	if o.Kind, sealed = split(u.Path); o.Kind == "" {
		return Opened{}, fmt.Errorf("%w: its path has none of %s, %s, %s and %s", ErrURL, clickPath, openPath, unsubscribePath, preferencesPath)
	}
	var ok bool
	if o.Key, ok = token.KeyOf(sealed); !ok {
		return Opened{}, fmt.Errorf("%w: what follows %s is no token, or not a whole one", ErrURL, u.Path[:len(u.Path)-len(sealed)])
	}
	if err := o.open(keys, sealed); err != nil {
		return Opened{Kind: o.Kind, Host: o.Host, Key: o.Key}, err
	}
	if o.Accepted.IsZero() {
		o.Accepted = accepted(o.Message)
	}
	return o, nil
}

// split finds the kind and the token at the end of a path.
func split(path string) (kind, sealed string) {
	kinds := []struct{ kind, prefix, suffix string }{
		{kindClick, clickPath, ""},
		{kindOpen, openPath, openSuffix},
		{kindUnsubscribe, unsubscribePath, ""},
		{kindPreferences, preferencesPath, ""},
	}
	for _, k := range kinds {
		if at := strings.LastIndex(path, k.prefix); at >= 0 {
			return k.kind, strings.TrimSuffix(path[at+len(k.prefix):], k.suffix)
		}
	}
	return "", ""
}

func (o *Opened) open(keys *token.Keyring, sealed string) error {
	switch o.Kind {
	case kindClick:
		t := Tracker{keys: keys}
		of, target, err := t.openLink(sealed)
		o.Target = target
		o.take(of)
		return err
	case kindOpen:
		return o.openPixel(keys, sealed)
	}
	u, err := keys.OpenUnsubscribe(sealed)
	o.Message, o.Index = u.Message, u.Index
	o.Tenant, o.Stream, o.Address = u.Tenant, u.Stream, u.Address
	return err
}

func (o *Opened) openPixel(keys *token.Keyring, sealed string) error {
	t := Tracker{keys: keys}
	of, err := t.openPixel(sealed)
	if err == nil {
		o.take(of)
		return nil
	}
	last, err := keys.OpenLastOpen(sealed)
	o.Measure, o.Accepted = account.MeasureHygiene.String(), begin(last.Day)
	return err
}

func (o *Opened) take(of origin) {
	o.Message, o.Index, o.Measure = of.message, of.index, account.MeasureIndividual.String()
	if c := of.counted; c != nil {
		o.Measure, o.Accepted = account.MeasureAggregate.String(), begin(c.Day)
		o.Tenant, o.Stream, o.Campaign = c.Tenant, c.Stream, c.Campaign
	}
}
