package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/submission"
)

// send hands in a message of the operator's.
func (d *daemon) send(ctx context.Context, request api.SendRequest) (string, error) {
	injection := submission.Injection{Tenant: request.Tenant, Message: request.Message, Protocol: "HTTP"}
	if tenants := d.config.Load().Tenants; injection.Tenant == "" {
		if len(tenants) > 1 {
			return "", badRequest(errors.New("there is more than one tenant: name one"))
		}
		injection.Tenant = tenants[0].Name
	}
	var err error
	if injection.From, err = mail.ParseAddress(request.From); err != nil {
		return "", badRequest(fmt.Errorf("from: %w", err))
	}
	for _, text := range request.To {
		address, err := mail.ParseAddress(text)
		if err != nil {
			return "", badRequest(fmt.Errorf("to: %w", err))
		}
		injection.Recipients = append(injection.Recipients, mail.Recipient{Address: address})
	}
	id, err := d.submission.Inject(ctx, injection)
	if errors.Is(err, submission.ErrRefused) {
		return "", badRequest(err)
	}
	if errors.Is(err, submission.ErrQuota) {
		return "", &api.Error{Status: http.StatusTooManyRequests, Message: err.Error()}
	}
	return id.String(), err
}

func badRequest(err error) error {
	return &api.Error{Status: http.StatusUnprocessableEntity, Message: err.Error()}
}
