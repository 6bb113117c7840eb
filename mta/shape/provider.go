package shape

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"
)

// Provider is what is known of one large receiver: what it takes, and what to
// do about what it says.
type Provider struct {
	// Name is one word; Title is for people.
	Name, Title string
	// Site is what the site of its domains is called: the first of MX if the
	// file does not say.
	Site string
	// MX are ends of the names of its mail exchangers, whole labels. Domains
	// are destination domains that belong to it whatever their exchangers.
	MX, Domains []string
	// Limits are what it is known to take. Fields that it leaves out are those
	// of the configuration.
	Limits Limits
	// WarmUp is the schedule of a new source.
	WarmUp Schedule
	// Rules in the order in which they are tried, before those of every site.
	Rules []Rule

	// every rule that holds for the provider, those of every site behind its
	// own.
	every []*Rule
	path  string
}

// Providers is all that is known of providers. It does not change: Override
// makes another one. The nil Providers knows nothing.
type Providers struct {
	list    []Provider
	general []Rule
	warmUp  Schedule
	// everywhere are the general rules as a site without a provider has them.
	everywhere []*Rule

	byMX, byDomain, bySite map[string]*Provider
}

//go:embed providers.toml
var shippedProviders []byte

// shippedFile is the name of the embedded file in messages.
const shippedFile = "providers.toml"

// ShippedProviders returns the rules that the daemon brings along.
func ShippedProviders() (*Providers, error) {
	return (&Providers{}).Override(shippedFile, shippedProviders)
}

// All returns the providers in the order of the file; they are not to be
// changed.
func (p *Providers) All() []Provider {
	if p == nil {
		return nil
	}
	return p.list
}

// General returns the rules that hold for every site, behind those of its
// provider.
func (p *Providers) General() []Rule {
	if p == nil {
		return nil
	}
	return p.general
}

// Find returns the provider of a destination: by its domain, else by the name
// of its most preferred mail exchanger; false where none is known.
func (p *Providers) Find(domain, exchanger string) (*Provider, bool) {
	if p == nil {
		return nil, false
	}
	if found, ok := p.byDomain[strings.ToLower(domain)]; ok {
		return found, true
	}
	return p.ofExchanger(exchanger)
}

// Site names the site of a destination whose most preferred mail exchanger is
// known, as Find finds its provider; false where it has none.
func (p *Providers) Site(domain, exchanger string) (string, bool) {
	if found, ok := p.Find(domain, exchanger); ok {
		return found.Site, true
	}
	return "", false
}

// ofExchanger finds the longest end of the name that is known.
func (p *Providers) ofExchanger(host string) (*Provider, bool) {
	for name := strings.ToLower(strings.TrimSuffix(host, ".")); name != ""; {
		if found, ok := p.byMX[name]; ok {
			return found, true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil, false
}

// ofSite finds the provider of a site by the site's name, else by the first of
// the hosts that a connection serves.
func (p *Providers) ofSite(site, route string) *Provider {
	if p == nil {
		return nil
	}
	if found, ok := p.bySite[site]; ok {
		return found
	}
	if found, ok := p.ofExchanger(site); ok {
		return found
	}
	first, _, _ := strings.Cut(route, " ")
	found, _ := p.ofExchanger(first)
	return found
}

// index builds the look-ups and reports names that lead to two providers. Those
// known before, which stand behind those that were added, keep theirs.
func (p *Providers) index(d *document) {
	p.byMX, p.byDomain, p.bySite = map[string]*Provider{}, map[string]*Provider{}, map[string]*Provider{}
	for i := range p.list {
		one := &p.list[len(p.list)-1-i]
		if one.Site == "" {
			one.Site = cmp.Or(first(one.MX), first(one.Domains))
		}
		for _, name := range one.MX {
			claim(d, p.byMX, name, one, "mx")
		}
		for _, name := range one.Domains {
			claim(d, p.byDomain, name, one, "domains")
		}
		if p.byMX[one.Site] == nil || p.byMX[one.Site] == one {
			claim(d, p.bySite, one.Site, one, "site")
		}
	}
}

// rules are those of a provider, which may be nil, and then those of every
// site.
func (p *Providers) rules(owner *Provider) []*Rule {
	switch {
	case p == nil:
		return nil
	case owner == nil:
		return p.everywhere
	}
	return owner.every
}

// order lays the rules out as sites use them.
func (p *Providers) order() {
	p.everywhere = nil
	for i := range p.general {
		p.everywhere = append(p.everywhere, &p.general[i])
	}
	for i := range p.list {
		one := &p.list[i]
		one.every = nil
		for j := range one.Rules {
			one.every = append(one.every, &one.Rules[j])
		}
		one.every = append(one.every, p.everywhere...)
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func claim(d *document, index map[string]*Provider, name string, by *Provider, key string) {
	if other, taken := index[name]; taken && other != by && name != "" {
		at := cmp.Or(by.path, other.path)
		d.wrong(join(at, key), "%q belongs to the provider %s too", name, other.Name)
		return
	}
	index[name] = by
}

// clone copies what Override changes.
func (p *Providers) clone() *Providers {
	copied := &Providers{warmUp: p.warmUp, general: cloneRules(p.general)}
	for _, one := range p.list {
		one.Rules, one.path = cloneRules(one.Rules), ""
		copied.list = append(copied.list, one)
	}
	return copied
}

func cloneRules(rules []Rule) []Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].path = ""
	}
	return rules
}
