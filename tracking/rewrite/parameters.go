package rewrite

import (
	"net/url"
	"slices"
	"strings"

	"github.com/postrider-mta/postrider/internal/account"
)

// Parameters are added to the query of links that lack them.
type Parameters struct {
	List account.UTM
	// Hosts, in lower case, are those whose links get them, each with everything
	// below it; all where there are none.
	Hosts []string
}

// forHost reports whether links to the host get the parameters.
func (p Parameters) forHost(name string) bool {
	return len(p.Hosts) == 0 || slices.ContainsFunc(p.Hosts, func(h string) bool {
		return name == h || strings.HasSuffix(name, "."+h)
	})
}

// addition returns where in address what is to be inserted; an empty text where
// nothing is.
func (p Parameters) addition(address string) (at int, text string) {
	if len(p.List) == 0 || !p.forHost(host(address)) {
		return 0, ""
	}
	at = len(address)
	if i := strings.IndexByte(address, '#'); i >= 0 {
		at = i
	}
	_, query, asked := strings.Cut(address[:at], "?")
	present := names(query)
	for _, parameter := range p.List {
		if !slices.Contains(present, parameter.Name) {
			text += "&" + parameter.String()
		}
	}
	switch {
	case text == "":
	case !asked:
		text = "?" + text[1:]
	case query == "" || strings.HasSuffix(query, "&"):
		text = text[1:]
	}
	return at, text
}

// names are those of the parameters in a query.
func names(query string) []string {
	if query == "" {
		return nil
	}
	var list []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		list = append(list, name)
	}
	return list
}

func (p Parameters) add(address string) string {
	at, text := p.addition(address)
	return address[:at] + text + address[at:]
}
