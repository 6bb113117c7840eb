package hit

import (
	"net/http"
	"net/netip"
	"strings"
)

// Kind is what a hit was on.
type Kind uint8

const (
	// Open is a hit on the pixel.
	Open Kind = iota + 1
	// Click is a hit on a link.
	Click
)

// OptedOut reports whether the reader's browser asks not to be tracked, by
// Global Privacy Control or by Do Not Track.
func OptedOut(h http.Header) bool { return says(h["Sec-Gpc"], "1") || says(h["Dnt"], "1") }

func says(values []string, want string) bool { return len(values) > 0 && values[0] == want }

// Request says what one request tells by itself, from surest to least. The
// client's address may be the zero one: then it tells nothing.
func (c *Classifier) Request(kind Kind, r *http.Request, client netip.Addr) Reason {
	switch {
	case r.Method == http.MethodHead:
		return Head
	case isPrefetch(r.Header):
		return Prefetch
	}
	agent := ""
	if values := r.Header["User-Agent"]; len(values) > 0 {
		agent = values[0]
	}
	if reason := c.agents.reason(kind, agent); reason != Human {
		return reason
	}
	switch {
	case c.networks.have(client):
		return Scanner
	case kind == Click && isScript(r.Header):
		return Script
	}
	return Human
}

// isPrefetch reports the header fields by which browsers and proxies mark what
// they fetch ahead, in all spellings there were.
func isPrefetch(h http.Header) bool {
	return isAhead(h["Sec-Purpose"]) || isAhead(h["Purpose"]) || isAhead(h["X-Purpose"]) || isAhead(h["X-Moz"])
}

func isAhead(values []string) bool {
	if len(values) == 0 {
		return false
	}
	value := strings.ToLower(values[0])
	return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview")
}

// isScript reports a request that says it is no navigation (Fetch Metadata
// Request Headers, section 2.2): following a link is one.
func isScript(h http.Header) bool {
	values := h["Sec-Fetch-Mode"]
	return len(values) > 0 && values[0] != "" && values[0] != "navigate"
}
