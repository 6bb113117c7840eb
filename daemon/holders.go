package daemon

import (
	"context"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/privacy"
)

// personal are all stores that keep personal data, in the order in which they
// are walked: what keeps mail from being sent comes first. A store that is not
// here is one that erasure forgets.
func (d *daemon) personal() []privacy.Holder {
	return []privacy.Holder{d.suppress, d.consents, d.store, d.events, d.statistics, d.rates}
}

func (d *daemon) registerHolders(*config.Config) error {
	d.holders = privacy.NewRegistry()
	for _, holder := range d.personal() {
		if err := d.holders.Register(holder); err != nil {
			return err
		}
	}
	return nil
}

// expiryInterval is how often what is too old is looked for.
const expiryInterval = time.Hour

// startRetention looks at the start and then from time to time: the daemon may
// never run for a whole interval.
func (d *daemon) startRetention(*config.Config) error {
	d.background("retention", 0, func(ctx context.Context) error {
		ticks := time.NewTicker(expiryInterval)
		defer ticks.Stop()
		for {
			d.expire(ctx)
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return nil
}

// expire lets every store forget what it has kept long enough.
func (d *daemon) expire(ctx context.Context) {
	before := time.Now().Add(-d.config.Load().Events.Retention)
	expired, err := d.holders.Expire(ctx, before)
	if err != nil && ctx.Err() == nil {
		d.logger.Error("retention", "error", err)
	}
	for _, e := range expired {
		if e.Count > 0 {
			d.logger.Info("expired", "holder", e.Holder, "records", e.Count)
		}
	}
}
