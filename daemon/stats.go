package daemon

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event/stats"
)

// startStatistics counts what the event log has. Where statistics are turned
// off their file stays closed.
func (d *daemon) startStatistics(c *config.Config) error {
	if !c.Statistics.Enabled {
		return nil
	}
	store, err := stats.Open(stats.Options{
		Path: filepath.Join(c.DataDir, "stats.db"), Logger: d.logger, MaskBelow: c.Statistics.MaskBelow,
		Keep: c.Statistics.Keep, UniqueFor: c.Statistics.UniqueFor, LinkQueries: c.Statistics.LinkQueries,
	})
	if err != nil {
		return err
	}
	d.statistics = store
	d.cleanups.add("statistics", func(context.Context) error { return store.Close() })
	d.background("counting", 0, func(ctx context.Context) error { return d.count(ctx, store) })
	return registerStatisticsMetrics(d.metrics, store.Figures)
}

// countPause is how long counting rests when the event log cannot be read.
const countPause = 5 * time.Second

// count counts until ctx ends. An event log that cannot be read for now is no
// reason to stop the mail: what happened waits there.
func (d *daemon) count(ctx context.Context, store *stats.Store) error {
	for {
		err := store.Run(ctx, d.events)
		if err == nil {
			return nil
		}
		d.logger.Warn("events are not counted for now", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(countPause):
		}
	}
}

func registerStatisticsMetrics(registry prometheus.Registerer, figures func() stats.Figures) error {
	counter := func(name, help string, value func(stats.Figures) int64) error {
		return registry.Register(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: "postrider_statistics_" + name, Help: help},
			func() float64 { return float64(value(figures())) },
		))
	}
	return errors.Join(
		counter("events_total", "Events counted.", func(f stats.Figures) int64 { return f.Counted }),
		counter("failures_total", "Times that counts could not be written.", func(f stats.Figures) int64 { return f.Failures }),
	)
}

// statistician tells what was counted.
type statistician struct{ daemon *daemon }

var _ admin.Statistics = statistician{}

// Report implements admin.Statistics.
func (s statistician) Report(ctx context.Context, request api.StatsRequest) (api.Stats, error) {
	if s.daemon.statistics == nil {
		return api.Stats{}, &api.Error{Status: http.StatusNotFound, Message: "statistics are turned off: [statistics] enabled is false"}
	}
	query := stats.Query{
		Tenant: request.Tenant, Stream: request.Stream, Campaign: request.Campaign,
		Group: stats.Group(request.By), Limit: request.Limit,
	}
	for text, at := range map[string]*time.Time{request.From: &query.From, request.To: &query.To} {
		if text == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.DateOnly, text); err != nil {
			return api.Stats{}, err
		}
	}
	report, err := s.daemon.statistics.Report(ctx, query)
	if err != nil {
		return api.Stats{}, err
	}
	return presentStats(report), nil
}

func presentStats(report *stats.Report) api.Stats {
	answer := api.Stats{
		Rows: []api.StatsRow{}, Total: presentStatsRow(&report.Total), More: report.More,
		MaskBelow: report.MaskBelow, Until: report.Until,
	}
	for i := range report.Rows {
		answer.Rows = append(answer.Rows, presentStatsRow(&report.Rows[i]))
	}
	return answer
}

func presentStatsRow(r *stats.Row) api.StatsRow {
	row := api.StatsRow{
		Tenant: r.Tenant, Stream: r.Stream, Campaign: r.Campaign, Day: r.Day, Link: r.Link, Clicks: presentHits(r.Clicks),
	}
	if r.Link != "" {
		return row
	}
	opens, unsubscribed, complained := presentHits(r.Opens), api.Figure(r.Unsubscribed), api.Figure(r.Complained)
	row.Mail = &api.StatsMail{
		Accepted: r.Accepted, Sent: r.Sent, Delivered: r.Delivered, Deferred: r.Deferred,
		Bounced: r.Bounced, Bounces: r.Bounces, Expired: r.Expired, Dropped: r.Dropped,
	}
	row.Opens, row.Unsubscribed, row.Complained = &opens, &unsubscribed, &complained
	return row
}

func presentHits(h stats.Hits) api.StatsHits {
	return api.StatsHits{Raw: api.Figure(h.Raw), Human: api.Figure(h.Human), Unique: api.Figure(h.Unique)}
}
