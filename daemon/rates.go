package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/event/watch"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// ratesFile keeps what was counted of bounces and complaints over restarts.
const ratesFile = "rates.json"

// startRates watches which shares of the mail bounce or are complained about.
func (d *daemon) startRates(c *config.Config) error {
	if !c.Rates.Enabled {
		return nil
	}
	keeper := &rateKeeper{store: d.store, shaper: d.shaper, logger: d.logger}
	watcher, err := watch.Open(watch.Options{
		Path: filepath.Join(c.DataDir, ratesFile), Logger: d.logger, Rules: d.rateRules,
		HoldID: holdID, Act: keeper.act, Holding: keeper.holding,
		BounceWindow: c.Rates.BounceWindow, ComplaintWindow: c.Rates.ComplaintWindow,
	})
	if err != nil {
		return err
	}
	d.rates = watcher
	keeper.pauseAgain(watcher, time.Now())
	d.background("watching of rates", 0, func(ctx context.Context) error { return d.watchRates(ctx, watcher) })
	return d.metrics.Register(newRateMetrics(watcher, d.accounts))
}

// watchPause is how long watching rests when the event log cannot be read.
const watchPause = 5 * time.Second

// watchRates watches until ctx ends. What cannot be read for now waits in the
// event log, and is no reason to stop the mail.
func (d *daemon) watchRates(ctx context.Context, watcher *watch.Watcher) error {
	for {
		err := watcher.Run(ctx, eventsOf{d.events, watch.Types()})
		if err == nil {
			return nil
		}
		d.logger.Warn("rates are not watched for now", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// rateRules are those of [rates], with what the stream says over them.
func (d *daemon) rateRules(tenant, stream string) watch.Rules {
	c := &d.config.Load().Rates
	t, _ := d.accounts.Tenant(tenant)
	own := t.Streams[stream].Rates
	return watch.Rules{
		Bounces:    limitsOver(c.BounceWarn, c.BounceAct, own.BounceAct),
		Complaints: limitsOver(c.ComplaintWarn, c.ComplaintAct, own.ComplaintAct),
		Minimum:    c.MinimumSample, Action: watch.Action(own.Action),
	}
}

// limitsOver lets a stream act earlier or later; it is never warned of later
// than it is acted on.
func limitsOver(warn, act, own float64) watch.Limits {
	if own > 0 {
		act = own
	}
	return watch.Limits{Warn: min(warn, act), Act: act}
}

// rateRules returns what a stream says of its rates.
func rateRules(s config.Stream) account.RateRules {
	rules := account.RateRules{Action: s.RateAction, BounceAct: s.BounceAct, ComplaintAct: s.ComplaintAct}
	if s.RateAction == config.Inherited {
		rules.Action = string(watch.Warn)
		if s.Unsubscribe {
			rules.Action = string(watch.Hold)
		}
	}
	return rules
}

// holdID makes the id that a hold has whenever the same events lead to it.
func holdID(at time.Time, seed string) string {
	id := queue.NewID(at)
	sum := sha256.Sum256([]byte(seed))
	copy(id[len(id)-6:], sum[:])
	return id.String()
}

// rateKeeper does what follows from rates that are too high.
type rateKeeper struct {
	store  queue.Store
	shaper *shape.Shaper
	logger *slog.Logger
}

// act tells of a decision, and then does it: there is no hold without its
// event. Done twice it is the same.
func (k *rateKeeper) act(ctx context.Context, decision *watch.Decision) error {
	if err := k.store.Record(ctx, []event.Event{rateEvent(decision)}); err != nil {
		return fmt.Errorf("tell of a rate: %w", err)
	}
	scope := decision.Scope
	switch decision.Action {
	case watch.Hold:
		if err := k.hold(ctx, decision); err != nil {
			return err
		}
	case watch.Slow:
		k.shaper.PauseCampaign(time.Now(), decision.Until, scope.Tenant, scope.Campaign, decision.Reason)
	}
	k.logger.Warn("rate exceeded", "tenant", scope.Tenant, "stream", scope.Stream, "campaign", scope.Campaign,
		"site", scope.Site, "action", string(decision.Action), "reason", decision.Reason)
	return nil
}

// hold holds the campaign. Mail of a stream without a campaign cannot be chosen
// apart from the rest of the stream: then that is held.
func (k *rateKeeper) hold(ctx context.Context, decision *watch.Decision) error {
	id, err := queue.ParseID(decision.Hold)
	if err != nil {
		return err
	}
	scope := decision.Scope
	return k.store.Hold(ctx, queue.Hold{
		ID:       id,
		Selector: queue.Selector{Tenant: scope.Tenant, Stream: scope.Stream, Campaign: scope.Campaign},
		Reason:   decision.Reason, Since: decision.Time.UTC(),
	})
}

// holding returns the ids of the holds in force.
func (k *rateKeeper) holding(ctx context.Context) (map[string]bool, error) {
	holds, err := k.store.Holds(ctx)
	ids := map[string]bool{}
	for i := range holds {
		ids[holds[i].ID.String()] = true
	}
	return ids, err
}

// pauseAgain takes up the pauses that the shaper may have forgotten in a crash.
func (k *rateKeeper) pauseAgain(watcher *watch.Watcher, now time.Time) {
	campaigns := func(s watch.Scope) bool { return s.Level == watch.OfCampaign }
	for _, row := range watcher.Rows(now, campaigns) {
		if row.State == watch.Slowed {
			k.shaper.PauseCampaign(now, row.Until, row.Scope.Tenant, row.Scope.Campaign, row.Reason)
		}
	}
}

func rateEvent(d *watch.Decision) event.Event {
	return event.Event{
		ID: d.ID + "-" + string(event.RateExceeded), Type: event.RateExceeded, Time: d.Time.UTC(),
		Tenant: d.Scope.Tenant, Stream: d.Scope.Stream, Campaign: d.Scope.Campaign, Site: d.Scope.Site, Reason: d.Reason,
		Rate: &event.Rate{
			Of: string(d.Figure), Level: string(d.Scope.Level), Count: d.Count, Sample: d.Sample, Percent: rounded(d.Percent),
			Threshold: d.Threshold, Window: int(d.Window / time.Second), Action: string(d.Action), Hold: d.Hold, Until: d.Until,
		},
	}
}

// rounded leaves three digits behind the point.
func rounded(percent float64) float64 { return math.Round(percent*1000) / 1000 }

// releasing is the store as the operator changes it: who watches the rates hears
// of a release before mail goes on, so that all that is delivered after it is
// known for that.
type releasing struct {
	admin.Store
	rates *watch.Watcher
}

// Release implements admin.Store.
func (r releasing) Release(ctx context.Context, id queue.ID) (int, error) {
	if r.rates != nil {
		r.rates.Released(id.String(), time.Now())
	}
	return r.Store.Release(ctx, id)
}

// rateTeller tells how the rates stand.
type rateTeller struct{ daemon *daemon }

var _ admin.Rates = rateTeller{}

// Rates implements admin.Rates.
func (r rateTeller) Rates(_ context.Context, tenant string) (api.Rates, error) {
	d := r.daemon
	if d.rates == nil {
		return api.Rates{}, &api.Error{Status: http.StatusNotFound, Message: "rates are not watched: [rates] enabled is false"}
	}
	if tenant != "" && !d.accounts.has(tenant) {
		return api.Rates{}, badRequest(errors.New("there is no tenant " + tenant))
	}
	answer := api.Rates{Rates: []api.Rate{}}
	rows := d.rates.Rows(time.Now(), func(s watch.Scope) bool { return tenant == "" || s.Tenant == tenant })
	for i := range rows {
		answer.Rates = append(answer.Rates, presentRate(&rows[i]))
	}
	return answer, nil
}

func presentRate(r *watch.Row) api.Rate {
	return api.Rate{
		Level: string(r.Scope.Level), Tenant: r.Scope.Tenant, Stream: r.Scope.Stream, Campaign: r.Scope.Campaign, Site: r.Scope.Site,
		State: string(r.State), Since: r.Since, Reason: r.Reason, Hold: r.Hold, Until: r.Until, Released: r.Released,
		Delivered: r.Delivered, Blocked: r.Blocked, Bounces: presentFigure(r.Bounces), Complaints: presentFigure(r.Complaints),
	}
}

func presentFigure(r watch.Rate) api.RateFigure {
	return api.RateFigure{
		Count: r.Count, Sample: r.Sample, Percent: rounded(r.Percent), Warn: r.Limits.Warn, Act: r.Limits.Act,
		Window: int(r.Window / time.Second), Few: r.Few,
	}
}
