package hit

// Reason says why a hit is not a person's.
type Reason uint8

const (
	// Human is no reason: nothing tells the hit from a person's.
	Human Reason = iota
	// Head asks for no content: whoever reads gets it with GET.
	Head
	// Prefetch was fetched ahead, before anybody asked to see it.
	Prefetch
	// AppleProxy is Mail Privacy Protection, which fetches all images of all
	// mail, read or not.
	AppleProxy
	// Scanner looks for malicious content.
	Scanner
	// Crawler reads the web for an index, or makes the preview of a link.
	Crawler
	// Library is a program's HTTP client or a command line tool.
	Library
	// Headless is a browser that shows nothing to anybody.
	Headless
	// Script is a request of a page's script, where a person would navigate.
	Script
	// NoAgent says nothing of what it is.
	NoAgent
	// TooSoon came before anybody could have read the message.
	TooSoon
	// Burst is one of several links that were followed at about the same time.
	Burst
	reasons
)

// String is the reason as events have it; empty for Human.
func (r Reason) String() string {
	names := [reasons]string{
		"", "head", "prefetch", "apple-privacy-proxy", "scanner", "crawler",
		"library", "headless", "script", "no-agent", "too-soon", "burst",
	}
	if r >= reasons {
		return ""
	}
	return names[r]
}

// Reasons are all there are but Human.
func Reasons() []Reason {
	all := make([]Reason, 0, reasons-1)
	for r := Human + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}
