package watch

import "strings"

// Level is what a share is a share of.
type Level string

const (
	// OfTenant is all mail of a tenant.
	OfTenant Level = "tenant"
	// OfStream is all mail of a tenant's stream.
	OfStream Level = "stream"
	// OfCampaign is what of a stream has a campaign's name, or none.
	OfCampaign Level = "campaign"
	// OfSite is what of a stream goes to one provider.
	OfSite Level = "site"
)

// Scope names the mail that is counted together. What does not belong to its
// Level is empty.
type Scope struct {
	Level    Level  `json:"level"`
	Tenant   string `json:"tenant"`
	Stream   string `json:"stream,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Site     string `json:"site,omitempty"`
}

// String is what a person calls the scope, without its tenant and stream where
// it is smaller than those.
func (s Scope) String() string {
	switch s.Level {
	case OfTenant:
		return "tenant " + s.Tenant
	case OfCampaign:
		if s.Campaign == "" {
			return "mail of stream " + s.Stream + " without a campaign"
		}
		return "campaign " + s.Campaign
	case OfSite:
		return "stream " + s.Stream + " at " + s.Site
	}
	return "stream " + s.Stream
}

// maxName bounds what is kept of a name; submission allows less.
const maxName = 1024

// scopesOf are the scopes that mail belongs to, the provider's only where it is
// known.
func scopesOf(tenant, stream, campaign, site string) []Scope {
	tenant, stream, campaign, site = cut(tenant), cut(stream), cut(campaign), cut(site)
	scopes := append(
		make([]Scope, 0, 4),
		Scope{Level: OfTenant, Tenant: tenant},
		Scope{Level: OfStream, Tenant: tenant, Stream: stream},
		Scope{Level: OfCampaign, Tenant: tenant, Stream: stream, Campaign: campaign},
	)
	if site != "" {
		scopes = append(scopes, Scope{Level: OfSite, Tenant: tenant, Stream: stream, Site: site})
	}
	return scopes
}

func cut(name string) string { return name[:min(len(name), maxName)] }

// domainOf returns the domain of an address; empty where there is none.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}
