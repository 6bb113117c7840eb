package daemon

import (
	"context"
	"fmt"

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
	return delivery.Verdict{Drop: true, Reason: fmt.Sprintf("suppressed: %s", entry.Reason)}, nil
}
