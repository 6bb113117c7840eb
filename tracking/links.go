package tracking

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/token"
)

// ErrBase is wrapped by the errors of NewLinks.
var ErrBase = errors.New("invalid tracking URL")

const (
	clickPath       = "/c/"
	openPath        = "/o/"
	openSuffix      = ".gif"
	unsubscribePath = "/u/"
	preferencesPath = "/p/"
)

// Links makes the URLs that a Tracker answers.
type Links struct {
	base string
	host string
	keys *token.Keyring
}

// NewLinks takes the public base of the tracker: scheme and host, perhaps a
// port and a path, all in ASCII.
func NewLinks(base string, keys *token.Keyring) (Links, error) {
	base = strings.TrimRight(base, "/")
	u, err := url.Parse(base)
	switch {
	case keys == nil:
		return Links{}, fmt.Errorf("%w: no keys", ErrBase)
	case err != nil:
		return Links{}, fmt.Errorf("%w: it cannot be parsed", ErrBase)
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return Links{}, fmt.Errorf("%w: want https:// or http:// and a host", ErrBase)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || strings.HasSuffix(base, "#"):
		return Links{}, fmt.Errorf("%w: want scheme, host and path only", ErrBase)
	case strings.ContainsFunc(base, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"'<>\&`, r) }):
		return Links{}, fmt.Errorf("%w: want plain ASCII", ErrBase)
	}
	return Links{base: base, host: strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), keys: keys}, nil
}

// ClickURL returns the URL that redirects to target. An error wraps
// token.ErrPayload: the target is too long.
func (l Links) ClickURL(message [12]byte, index uint32, target string) (string, error) {
	sealed, err := l.keys.SealLink(token.Link{Message: message, Index: index, URL: target})
	return l.base + clickPath + sealed, err
}

// PixelURL returns the URL of the pixel.
func (l Links) PixelURL(message [12]byte, index uint32) (string, error) {
	sealed, err := l.keys.SealOpen(token.Open{Message: message, Index: index})
	return l.base + openPath + sealed + openSuffix, err
}

// UnsubscribeURL returns the URL of the page on which, and the target of the
// POST by which (RFC 8058), the recipient leaves a stream. An error wraps
// token.ErrPayload: a name is too long.
func (l Links) UnsubscribeURL(message [12]byte, index uint32, tenant, stream string, address mail.Address) (string, error) {
	sealed, err := l.keys.SealUnsubscribe(token.Unsubscribe{
		Message: message, Index: index, Tenant: tenant, Stream: stream, Address: address.String(),
	})
	return l.base + unsubscribePath + sealed, err
}
