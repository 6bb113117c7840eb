package rewrite

// Keep is a reason to leave one link alone.
type Keep string

const (
	// KeepOptOut: the author asked for it with an attribute.
	KeepOptOut Keep = "opt-out"
	// KeepUnsubscribe: it is in the message's List-Unsubscribe, or in
	// Options.KeepURLs.
	KeepUnsubscribe Keep = "list-unsubscribe"
	// KeepHost: it leads to one of Options.KeepHosts.
	KeepHost Keep = "tracker"
	// KeepAsked: Options.Link or Options.TextLink returned ErrKeep, as for a URL
	// that is too long.
	KeepAsked Keep = "too-long"
	// KeepTemplate: marks of a template language that nobody filled in.
	KeepTemplate Keep = "template"
	// KeepScheme: neither http nor https.
	KeepScheme Keep = "scheme"
	// KeepFragment: a place in the same document.
	KeepFragment Keep = "fragment"
	// KeepRelative: relative without a base.
	KeepRelative Keep = "relative"
	// KeepEmpty: an href without a value.
	KeepEmpty Keep = "empty"
	// KeepInvalid: no host, or control characters.
	KeepInvalid Keep = "invalid"
	// KeepCharset: not valid in the part's charset, or with a query in a legacy
	// one, which browsers write in ways of their own.
	KeepCharset Keep = "charset"
	// KeepUnclear: in plain text, where it is unclear which characters belong to
	// it.
	KeepUnclear Keep = "unclear"
)

// web reports the reasons that keep a URL which is one of the web.
func (k Keep) web() bool {
	return k == KeepOptOut || k == KeepUnsubscribe || k == KeepHost || k == KeepAsked
}

// Link is what was done with one link, for who wants to know.
type Link struct {
	// URL is where it leads, or the href as written where it leads nowhere on
	// the web.
	URL string
	// Replacement is what stands in its place; empty where it was kept, or where
	// there was nothing to add.
	Replacement string
	// Kept is why it was left alone.
	Kept Keep
	// Text: it is in plain text, not in HTML.
	Text bool
}
