package daemon

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/submission"
	"github.com/postrider-mta/postrider/mta/tlsreport"
)

// reportsFile keeps what was counted for TLS reports over restarts.
const reportsFile = "tls-reports.json"

// startTLSReports counts and sends what domains ask to be told of TLS to them.
func (d *daemon) startTLSReports(c *config.Config) error {
	if c.TLSReports.From == "" {
		return nil
	}
	from, err := mail.ParseAddress(c.TLSReports.From)
	if err != nil {
		return err
	}
	contact, err := mail.ParseAddress(cmp.Or(c.TLSReports.Contact, c.TLSReports.From))
	if err != nil {
		return err
	}
	d.reports, err = tlsreport.New(tlsreport.Options{
		Organization: cmp.Or(c.TLSReports.Organization, c.Hostname), From: from, Contact: contact,
		Lookup: d.router.lookupTXT, Submit: d.submitReport,
		Path:   filepath.Join(c.DataDir, reportsFile),
		Logger: d.logger, Metrics: d.metrics,
	})
	return err
}

// runTLSReports begins to send: submission is there by now.
func (d *daemon) runTLSReports(*config.Config) error {
	if d.reports != nil {
		d.background("TLS reports", 0, d.reports.Run)
	}
	return nil
}

// submitReport hands a report in as the first tenant's mail. It is signed by
// its own domain's key, and nothing of it is measured.
func (d *daemon) submitReport(ctx context.Context, from, to mail.Address, message []byte) error {
	_, err := d.submission.Inject(ctx, submission.Injection{
		Tenant: d.config.Load().Tenants[0].Name, From: from, Protocol: "HTTP",
		Recipients: []mail.Recipient{{Address: to, Notify: mail.NotifyNever}},
		Message:    append([]byte("X-Postrider-Stream: transactional\r\nX-Postrider-Track: none\r\n"), message...),
	})
	return err
}

// observe counts a connection. Those of the reports themselves do not count,
// nor those that no policy was applied to by the message's wish.
func (d *daemon) observe(h delivery.Handshake) {
	from := d.config.Load().TLSReports.From
	if d.reports == nil || h.From.String() == from || h.Host.TLS.Waived {
		return
	}
	for _, f := range h.Findings {
		// Its reason may name our resolver: that is nobody's business.
		d.reports.Record(tlsreport.Session{
			Domain: h.Domain, Policy: reportedPolicy(f.Policy),
			Failures: []tlsreport.Failure{{Result: tlsreport.Result(f.Result), MXHost: f.Host}},
		})
	}
	session := tlsreport.Session{Domain: h.Domain, Policy: reportedPolicy(h.Host.TLS.Policy)}
	if result, reason, failed := judgeHandshake(&h); failed {
		session.Failures = []tlsreport.Failure{{Result: tlsreport.Result(result), MXHost: h.Host.Name, ReceivingIP: h.Remote, Reason: reason}}
	}
	d.reports.Record(session)
}

// judgeHandshake says what was wrong with a connection, as far as its policy minds.
func judgeHandshake(h *delivery.Handshake) (result route.Result, reason string, failed bool) {
	held := h.Host.TLS.Policy.Type == route.PolicySTS || h.Host.TLS.Policy.Type == route.PolicyTLSA
	switch {
	case h.Err != nil:
		return route.HandshakeResult(!errors.Is(h.Err, smtpclient.ErrTLSFloor), h.Err), "", true
	case !h.Encrypted:
		return route.StartTLSNotSupported, "", true
	case h.Untrusted != nil && held:
		return route.HandshakeResult(true, h.Untrusted), h.Untrusted.Error(), true
	}
	return "", "", false
}

func reportedPolicy(p route.Policy) tlsreport.Policy {
	return tlsreport.Policy{Type: tlsreport.PolicyType(p.Type), Strings: p.Strings, Domain: p.Domain, MXHosts: p.MXHosts}
}
