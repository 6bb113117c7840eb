package daemon

import (
	"context"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/queue"
)

// gate asks the suppressions, right before sending.
type gate struct{ suppressions *suppress.Store }

var _ delivery.Gate = (*gate)(nil)

// Admit implements delivery.Gate.
func (g *gate) Admit(_ context.Context, d *queue.Delivery) (delivery.Verdict, error) {
	entry, suppressed, err := g.suppressions.Check(d.Message.Tenant, d.Message.Stream, d.Recipient.Address)
	if err != nil || !suppressed {
		return delivery.Verdict{}, err
	}
	return delivery.Verdict{Drop: true, Reason: "suppressed: " + suppressionReason(&entry)}, nil
}

// Revision implements delivery.Gate.
func (g *gate) Revision() uint64 { return g.suppressions.Revision() }

// suppressionReason says why in words that the tenant may read: what another
// tenant or the operator knows of an address is not told.
func suppressionReason(e *suppress.Entry) string {
	if e.Tenant == suppress.AllTenants {
		return "by the operator"
	}
	return string(e.Reason)
}

// suppressed implements submission.Suppressed.
func (d *daemon) suppressed(tenant, stream string, a mail.Address) (reason string, found bool, err error) {
	entry, found, err := d.suppress.Check(tenant, stream, a)
	if err != nil || !found {
		return "", false, err
	}
	return suppressionReason(&entry), true, nil
}
