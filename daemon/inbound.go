package daemon

import (
	"context"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/report"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/mta/inbound"
)

// inboundListener is the certificate's name; no listener of the file has it.
const inboundListener = "[bounces]"

// startInbound hears what comes back by mail.
func (d *daemon) startInbound(c *config.Config) error {
	if len(c.Bounces.Listen) == 0 {
		return nil
	}
	options, err := d.inboundOptions(c)
	if err != nil {
		return err
	}
	server, err := inbound.New(options)
	if err != nil {
		return err
	}
	if err := server.Listen(); err != nil {
		return err
	}
	for _, address := range server.Addresses() {
		d.logger.Info("listening for bounces", "address", address.String())
	}
	d.runSMTP("bounces", server)
	return nil
}

func (d *daemon) inboundOptions(c *config.Config) (inbound.Options, error) {
	b := &c.Bounces
	options := inbound.Options{
		Hostname: c.Hostname, Listen: b.Listen,
		Codec: verp.New(returnKeys{d.tokens}), Parser: report.New(d.classifier),
		Domains: d.accounts.bounceDomain, Tenant: d.accounts.numbered, Complaints: b.Complaints,
		Origin: d.events.Lookup, Record: d.store.Record, Unsubscribe: d.unsubscribeByMail,
		Limits: inbound.Limits{
			Connections: b.Connections, ConnectionsPerIP: b.ConnectionsPerIP, Recipients: b.Recipients,
			MessageSize: int64(b.MessageSize), Memory: int64(b.DataMemory), PerMinute: b.MessagesPerMinute,
			Idle: b.IdleTimeout, Session: b.SessionTimeout,
		},
		Logger: d.logger, Metrics: d.metrics,
	}
	if b.Certificate != "" {
		options.TLS = d.keys.server(inboundListener)
	}
	if b.Postmaster == "" {
		return options, nil
	}
	to, err := mail.ParseAddress(b.Postmaster)
	options.Postmaster = inbound.Forward{
		To: to, Tenant: c.Tenants[0].Name, Stream: account.Transactional, MaxAge: c.Queue.MaxAge, Accept: d.store.Accept,
	}
	return options, err
}

// unsubscribeByMail is what the tracker does for those who follow the link.
func (d *daemon) unsubscribeByMail(ctx context.Context, tenant, stream string, address mail.Address, message string) error {
	return d.chooser().Unsubscribe(ctx, tenant, stream, address, message, 0)
}
