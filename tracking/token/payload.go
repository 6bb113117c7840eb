package token

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Bounds of payload fields, in octets.
const (
	// MaxURL is the longest target a link may have.
	MaxURL = 8 << 10
	// MaxName is the longest tenant or stream name.
	MaxName = 255
	// MaxAddress is the longest address (RFC 5321 section 4.5.3.1.3 allows
	// less; UTF-8 local parts count octets).
	MaxAddress = 512
)

const messageSize = 12

// Link is the payload of a tracked link.
type Link struct {
	// Message and Index name the recipient.
	Message [messageSize]byte
	Index   uint32
	// URL is the target, exactly as in the message.
	URL string
	// Person is whose click it is; the zero one in a token that does not say.
	Person Person
}

// Open is the payload of the pixel.
type Open struct {
	Message [messageSize]byte
	Index   uint32
	Person  Person
}

// Person stands for one reader of one tenant. It is a keyed hash that whoever
// makes tokens brings along: it finds a person's wishes again, and nobody else
// can tell whose it is.
type Person [personSize]byte

const personSize = 8

// Unsubscribe is the payload of an unsubscribe link.
type Unsubscribe struct {
	Message [messageSize]byte
	Index   uint32
	Tenant  string
	Stream  string
	// Address is the recipient as it was mailed.
	Address string
}

// The common beginnings of a URL, each stored as its place in this list.
func schemes() [3]string { return [3]string{"", "https://", "http://"} }

// SealLink returns the token of a link.
func (r *Keyring) SealLink(l Link) (string, error) {
	if l.URL == "" || len(l.URL) > MaxURL {
		return "", fmt.Errorf("%w: URL of %d octets", ErrPayload, len(l.URL))
	}
	b := appendRecipient(make([]byte, 0, 32+len(l.URL)), l.Message, l.Index)
	code, prefix := scheme(l.URL)
	if l.Person == (Person{}) {
		b = append(b, code)
	} else {
		b = append(append(b, code+withPerson), l.Person[:]...)
	}
	return r.Seal(PurposeClick, append(b, l.URL[len(prefix):]...))
}

// withPerson is added to the code of a scheme that a person follows. Tokens of
// before there were any have the code alone.
const withPerson = 3

// OpenLink is the inverse of SealLink.
func (r *Keyring) OpenLink(token string) (Link, error) {
	d, err := r.decode(PurposeClick, token)
	if err != nil {
		return Link{}, err
	}
	l := Link{Message: d.message(), Index: d.index()}
	code := d.octet()
	if code >= withPerson {
		code -= withPerson
		l.Person = d.person()
	}
	l.URL = d.url(code)
	if d.failed {
		return Link{}, ErrToken
	}
	return l, nil
}

// SealOpen returns the token of a pixel.
func (r *Keyring) SealOpen(o Open) (string, error) {
	b := appendRecipient(nil, o.Message, o.Index)
	if o.Person != (Person{}) {
		b = append(b, o.Person[:]...)
	}
	return r.Seal(PurposeOpen, b)
}

// OpenOpen is the inverse of SealOpen.
func (r *Keyring) OpenOpen(token string) (Open, error) {
	d, err := r.decode(PurposeOpen, token)
	if err != nil {
		return Open{}, err
	}
	o := Open{Message: d.message(), Index: d.index()}
	if len(d.rest) > 0 {
		o.Person = d.person()
	}
	if !d.done() {
		return Open{}, ErrToken
	}
	return o, nil
}

// SealUnsubscribe returns the token of an unsubscribe link.
func (r *Keyring) SealUnsubscribe(u Unsubscribe) (string, error) {
	if len(u.Tenant) > MaxName || len(u.Stream) > MaxName || len(u.Address) > MaxAddress {
		return "", fmt.Errorf("%w: tenant, stream or address too long", ErrPayload)
	}
	b := appendRecipient(make([]byte, 0, 64+len(u.Address)), u.Message, u.Index)
	for _, field := range []string{u.Tenant, u.Stream, u.Address} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	return r.Seal(PurposeUnsubscribe, b)
}

// OpenUnsubscribe is the inverse of SealUnsubscribe.
func (r *Keyring) OpenUnsubscribe(token string) (Unsubscribe, error) {
	d, err := r.decode(PurposeUnsubscribe, token)
	if err != nil {
		return Unsubscribe{}, err
	}
	u := Unsubscribe{
		Message: d.message(), Index: d.index(),
		Tenant: d.text(MaxName), Stream: d.text(MaxName), Address: d.text(MaxAddress),
	}
	if !d.done() {
		return Unsubscribe{}, ErrToken
	}
	return u, nil
}

func scheme(url string) (code byte, prefix string) {
	for i, s := range schemes() {
		if i > 0 && strings.HasPrefix(url, s) {
			return byte(i), s
		}
	}
	return 0, ""
}

func appendRecipient(b []byte, message [messageSize]byte, index uint32) []byte {
	return binary.AppendUvarint(append(b, message[:]...), uint64(index))
}
