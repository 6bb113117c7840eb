package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/event/watch"
)

// rateMetrics turns the rates of tenants and streams into metrics at each
// scrape. Both are names of the configuration, so that there are few.
type rateMetrics struct {
	watcher                                        *watch.Watcher
	accounts                                       *accounts
	bounces, complaints, exceeded, scopes, evicted *prometheus.Desc
}

var _ prometheus.Collector = (*rateMetrics)(nil)

func newRateMetrics(watcher *watch.Watcher, known *accounts) *rateMetrics {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("postrider_rates_"+name, help, labels, nil)
	}
	return &rateMetrics{
		watcher: watcher, accounts: known,
		bounces:    describe("bounced_ratio", "Share of hard bounces, where enough recipients are known; stream is empty for all of the tenant.", "tenant", "stream"),
		complaints: describe("complained_ratio", "Share of complaints, where enough recipients are known; stream is empty for all of the tenant.", "tenant", "stream"),
		exceeded:   describe("exceeded_total", "Shares that passed a threshold, by what followed.", "tenant", "stream", "of", "action"),
		scopes:     describe("scopes", "Tenants, streams, campaigns and sites counted apart."),
		evicted:    describe("evicted_total", "Scopes forgotten to make room for others."),
	}
}

// Describe implements prometheus.Collector.
func (m *rateMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.bounces, m.complaints, m.exceeded, m.scopes, m.evicted} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (m *rateMetrics) Collect(metrics chan<- prometheus.Metric) {
	rows := m.watcher.Rows(time.Now(), func(s watch.Scope) bool {
		return (s.Level == watch.OfTenant || s.Level == watch.OfStream) && m.known(s.Tenant, s.Stream)
	})
	for i := range rows {
		r := &rows[i]
		for description, rate := range map[*prometheus.Desc]watch.Rate{m.bounces: r.Bounces, m.complaints: r.Complaints} {
			if !rate.Few {
				metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, rate.Percent/100, r.Scope.Tenant, r.Scope.Stream)
			}
		}
	}
	f := m.watcher.Figures()
	for _, e := range f.Exceeded {
		if m.known(e.Tenant, e.Stream) {
			metrics <- prometheus.MustNewConstMetric(m.exceeded, prometheus.CounterValue, float64(e.Count),
				e.Tenant, e.Stream, string(e.Figure), string(e.Action))
		}
	}
	metrics <- prometheus.MustNewConstMetric(m.scopes, prometheus.GaugeValue, float64(f.Scopes))
	metrics <- prometheus.MustNewConstMetric(m.evicted, prometheus.CounterValue, float64(f.Evicted))
}

// known reports whether the configuration has them.
func (m *rateMetrics) known(tenant, stream string) bool {
	t, ok := m.accounts.Tenant(tenant)
	if !ok || stream == "" {
		return ok
	}
	_, ok = t.Streams[stream]
	return ok
}
