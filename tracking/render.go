package tracking

import (
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/mimetree"
	"github.com/postrider-mta/postrider/tracking/rewrite"
	"github.com/postrider-mta/postrider/tracking/token"
)

// RenderOptions say for whom a message is, and what goes into it.
type RenderOptions struct {
	Links Links
	// Message and Index name the recipient in tokens.
	Message [12]byte
	Index   uint32
	// Tenant, Stream and Address are what an unsubscription is about.
	Tenant  string
	Stream  string
	Address mail.Address
	// Whom says of whom the tokens tell beside, or in place of, Message and
	// Index.
	Whom Whom
	// Opens adds the pixel, Clicks replaces links in HTML, Text those in plain
	// text. Without any of them, and Unsubscribe, the Links may be left out.
	Opens, Clicks, Text bool
	// UTM are added to the links that lack them, if they lead to UTMHosts or
	// below; to all where there are no such hosts.
	UTM      account.UTM
	UTMHosts []mail.Domain
	// Report is told of every link; nil for nobody.
	Report func(rewrite.Link)
	// Unsubscribe adds List-Unsubscribe and List-Unsubscribe-Post (RFC 8058)
	// to a message whose author set neither.
	Unsubscribe bool
	// UnsubscribeAddress is named beside the URL for those who unsubscribe by
	// mail; zero for none.
	UnsubscribeAddress mail.Address
}

// Rendered says what Render did.
type Rendered struct {
	// Links counts replaced links, Kept those left alone.
	Links, Kept int
	// Extended counts links that got parameters, replaced or not.
	Extended int
	// Pixel and Unsubscribe report what was added.
	Pixel, Unsubscribe bool
	// Skipped says why HTML parts were left alone.
	Skipped []rewrite.Skip
	// Untouched is why the body was left as it was handed in, such as
	// malformed MIME; rewrite.Reason names it in a word. Nil when all is well.
	Untouched error
}

// Render returns the message with what the options ask for. What cannot be read
// for certain is left alone and goes out as it is, with the reason in Rendered.
// An error, which wraps token.ErrPayload, means that the options cannot be
// rendered into any message.
func Render(message []byte, o RenderOptions) ([]byte, Rendered, error) {
	rewriting, err := o.rewriting()
	if err != nil {
		return message, Rendered{}, err
	}
	fields, err := o.unsubscribeFields(message)
	if err != nil {
		return message, Rendered{}, err
	}
	result, untouched := rewrite.Rewrite(message, rewriting)
	rendered := Rendered{Untouched: untouched}
	if untouched == nil {
		rendered.Links, rendered.Kept, rendered.Extended = result.Links, result.Kept, result.Extended
		rendered.Pixel, rendered.Skipped = result.Pixel, result.Skipped
	}
	if fields == nil {
		return result.Message, rendered, nil
	}
	out, err := rewrite.AddHeaders(result.Message, fields)
	if err != nil {
		rendered.Untouched = err
		return message, rendered, nil
	}
	rendered.Unsubscribe = true
	return out, rendered, nil
}

func (o RenderOptions) rewriting() (rewrite.Options, error) {
	options := rewrite.Options{
		KeepHosts: []string{o.Links.host}, Report: o.Report, Parameters: rewrite.Parameters{List: o.UTM},
	}
	for _, host := range o.UTMHosts {
		options.Parameters.Hosts = append(options.Parameters.Hosts, string(host))
	}
	if o.Clicks {
		options.Link = o.link
	}
	if o.Text {
		options.TextLink = o.link
	}
	if o.Opens {
		pixel, err := o.PixelURL()
		if err != nil {
			return rewrite.Options{}, fmt.Errorf("pixel: %w", err)
		}
		options.Pixel = pixel
	}
	return options, nil
}

// link leaves a target alone that is too long for a token.
func (o RenderOptions) link(target string) (string, error) {
	replacement, err := o.clickURL(target)
	if errors.Is(err, token.ErrPayload) {
		return "", rewrite.ErrKeep
	}
	return replacement, err
}

// unsubscribeFields returns the header fields to add, nil for none. An author's
// own field stands: it may lead to a preference centre of theirs.
func (o RenderOptions) unsubscribeFields(message []byte) ([]byte, error) {
	if !o.Unsubscribe {
		return nil, nil
	}
	header, err := mimetree.ParseHeader(message)
	if err != nil || len(header.Find("List-Unsubscribe"))+len(header.Find("List-Unsubscribe-Post")) > 0 {
		// A header that cannot be read gets no field; Rewrite reports it.
		return nil, nil
	}
	target, err := o.Links.UnsubscribeURL(o.Message, o.Index, o.Tenant, o.Stream, o.Address)
	if err != nil {
		return nil, fmt.Errorf("unsubscribe: %w", err)
	}
	// Folded before the URL, which has no place to fold of its own.
	const maxURL = 990
	if len(target) > maxURL {
		return nil, fmt.Errorf("unsubscribe: %w: the URL does not fit a line", token.ErrPayload)
	}
	by := ""
	if !o.UnsubscribeAddress.IsZero() {
		by = ",\r\n <mailto:" + o.UnsubscribeAddress.String() + "?subject=unsubscribe>"
	}
	return []byte("List-Unsubscribe:\r\n <" + target + ">" + by + "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), nil
}
