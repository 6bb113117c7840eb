package daemon

import (
	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/notice"
)

var _ delivery.Notifier = (*notice.Notifier)(nil)

// notices makes what tells senders of their mail.
func (d *daemon) notices(c *config.Config) (*notice.Notifier, error) {
	host, err := mail.ParseDomain(c.Hostname)
	if err != nil {
		return nil, err
	}
	return notice.New(notice.Options{
		Host: host, Store: d.store, Accounts: d.accounts,
		DelayAfter: c.DSN.DelayAfter, PerHour: c.DSN.PerHour, MaxReturned: int(c.DSN.MaxReturned), MaxAge: c.Queue.MaxAge,
		Show: d.show, Logger: d.logger, Metrics: d.metrics,
	})
}

// show is how an address appears in the log.
func (d *daemon) show(a mail.Address) string {
	if d.fullAddresses() {
		return a.String()
	}
	return a.Masked()
}
