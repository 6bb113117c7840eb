package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// Options say what to put in.
type Options struct {
	// Link returns what an http or https URL is replaced by: a URL in ASCII. It
	// may return ErrKeep. Nil leaves links alone.
	Link func(url string) (string, error)
	// TextLink is Link for the URLs in plain text; nil leaves those alone.
	TextLink func(url string) (string, error)
	// Parameters are added to links before they are replaced, and to those that
	// are not: in plain text only with TextLink, and never to one that is kept.
	Parameters Parameters
	// Report is told of every link, in the order of the message; nil for nobody.
	Report func(Link)
	// Pixel is the URL of the image to add; empty adds none.
	Pixel string
	// KeepHosts are hosts, in lower case and without port, whose URLs are left
	// alone: the tracker's own.
	KeepHosts []string
	// KeepURLs are left alone too, as are those in List-Unsubscribe.
	KeepURLs []string
}

// Result is the message and what was done to it.
type Result struct {
	// Message is what to send: on any error the message handed in.
	Message []byte
	// Links counts replaced URLs.
	Links int
	// Extended counts URLs that got parameters, replaced or not.
	Extended int
	// Kept counts http and https URLs that were left alone.
	Kept int
	// Pixel reports that the image was added.
	Pixel bool
	// Skipped says why HTML parts were left alone.
	Skipped []Skip
}

// Skip is a reason to leave one HTML part of a message alone.
type Skip string

const (
	// SkipAttachment: a file, not text to be shown.
	SkipAttachment Skip = "attachment"
	// SkipCharset: not a superset of ASCII, or not readable as one.
	SkipCharset Skip = "charset"
	// SkipEncoding: an unknown transfer encoding.
	SkipEncoding Skip = "encoding"
	// SkipContent: content that parsers take apart in different ways.
	SkipContent Skip = "content"
)

// ErrKeep is returned by Options.Link and TextLink to leave one URL alone.
var ErrKeep = errors.New("keep this URL")

// ErrLink is wrapped when Options.Link or TextLink fails or returns no URL.
var ErrLink = errors.New("no replacement for a link")

// Reason names the cause of an error of Rewrite in one word, for counters.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, mimetree.ErrMalformed):
		return "malformed"
	case errors.Is(err, mimetree.ErrTooComplex):
		return "complex"
	case errors.Is(err, mimetree.ErrEncoding):
		return "encoding"
	case errors.Is(err, ErrLink):
		return "link"
	}
	return "other"
}

// links reports whether those in HTML change.
func (o *Options) links() bool { return o.Link != nil || len(o.Parameters.List) > 0 }

// Rewrite returns the message with its links replaced and the pixel added.
//
// On an error, which wraps one of mimetree's or ErrLink, Result.Message is the
// message unchanged: a message that cannot be read for certain goes out as it
// was handed in.
func Rewrite(message []byte, o Options) (Result, error) {
	unchanged := Result{Message: message}
	if !o.links() && o.TextLink == nil && o.Pixel == "" {
		return unchanged, nil
	}
	root, err := mimetree.Parse(message, mimetree.Options{})
	if err != nil {
		return unchanged, fmt.Errorf("rewrite: %w", err)
	}
	r := rewriter{message: message, options: o, root: root}
	r.keepUnsubscribe()
	if err := r.run(); err != nil {
		return unchanged, fmt.Errorf("rewrite: %w", err)
	}
	slices.SortStableFunc(r.edits, func(a, b mimetree.Edit) int { return cmp.Compare(a.Start, b.Start) })
	r.result.Message = mimetree.Apply(message, r.edits)
	return r.result, nil
}

type rewriter struct {
	message []byte
	options Options
	root    *mimetree.Part
	keep    []string
	// exempt are the URLs that an author exempted in HTML: they stay what they
	// are in plain text.
	exempt []string
	result Result
	edits  []mimetree.Edit
}

// keepUnsubscribe notes the targets of the message's own List-Unsubscribe: the
// same link in the text must lead to the same place.
func (r *rewriter) keepUnsubscribe() {
	r.keep = slices.Clone(r.options.KeepURLs)
	for _, f := range r.root.Header.Find("List-Unsubscribe") {
		r.keep = append(r.keep, bracketed(r.root.Header.Value(f))...)
	}
}

// bracketed returns the URLs between angle brackets (RFC 2369 section 2).
func bracketed(value string) []string {
	var urls []string
	for {
		_, rest, ok := strings.Cut(value, "<")
		url, after, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			return urls
		}
		urls = append(urls, strings.Join(strings.Fields(url), ""))
		value = after
	}
}

func (r *rewriter) run() error {
	leaves := r.documents(r.root, nil, false)
	var shown *document
	if r.options.Pixel != "" {
		shown = pixelDocument(r.root, leaves)
	}
	if r.options.TextLink != nil {
		r.noteExempt(leaves)
	}
	for _, d := range leaves {
		edits, err := r.document(d, d == shown)
		if err != nil {
			return err
		}
		r.edits = append(r.edits, d.part.Splice(r.message, d.content, edits, d.part == r.root)...)
	}
	return nil
}
