package daemon

import (
	"slices"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/tracking/selftest"
)

// startDomains prepares the self-test of the tracking domains, which begins
// once the tracker answers.
func (d *daemon) startDomains(c *config.Config) (err error) {
	d.domains, err = selftest.New(selftest.Options{
		Keys: d.tokens, Resolvers: c.Delivery.Resolvers, Logger: d.logger, Registerer: d.metrics,
	})
	if err != nil {
		return err
	}
	d.testDomains(c)
	return nil
}

// runDomains tests them until the daemon stops.
func (d *daemon) runDomains(*config.Config) error {
	d.background("tracking self-test", 0, d.domains.Run)
	return nil
}

// testDomains says which domains are to be tested: those whose links the
// tenants' mail carries. One that a reload brings together with the tracker
// fails until the restart that starts it.
func (d *daemon) testDomains(c *config.Config) { d.domains.Set(c.Tracking.SelfTest, trackingURLs(c)) }

// trackingURLs are the bases of the links in the tenants' mail, each once.
func trackingURLs(c *config.Config) (urls []string) {
	for _, t := range c.Tenants {
		if t.TrackingURL != "" {
			urls = append(urls, t.TrackingURL)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// trackingDomains is what the operator sees of them.
func (d *daemon) trackingDomains() []api.TrackingDomain {
	tenants := map[string][]string{}
	for _, t := range d.config.Load().Tenants {
		tenants[t.TrackingURL] = append(tenants[t.TrackingURL], t.Name)
	}
	domains := []api.TrackingDomain{}
	for _, s := range d.domains.States() {
		domains = append(domains, api.TrackingDomain{
			URL: s.URL, Tenants: tenants[s.URL], Status: string(s.Status), Since: s.Since,
			Probed: s.Probed, Succeeded: s.Succeeded, Failure: s.Failure, Failures: s.Failures, CertificateEnds: s.CertificateEnds,
		})
	}
	return domains
}
