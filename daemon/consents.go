package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/consent"
)

// consentDesk is what readers allow, as the operator sees and changes it.
type consentDesk struct {
	store *consent.Store
	// known reports whether there is a tenant of that name.
	known func(tenant string) bool
}

var _ admin.Consents = (*consentDesk)(nil)

// reader checks whom a request is about.
func (c *consentDesk) reader(tenant, text string) (mail.Address, error) {
	if !c.known(tenant) {
		return mail.Address{}, badRequest(fmt.Errorf("there is no tenant %q", tenant))
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return a, badRequest(err)
	}
	return a, nil
}

// Check implements admin.Consents.
func (c *consentDesk) Check(_ context.Context, request api.ConsentSelector) (verdict api.ConsentVerdict, err error) {
	a, err := c.reader(request.Tenant, request.Address)
	if err != nil {
		return verdict, err
	}
	measure, allowedError := c.store.Allowed(request.Tenant, a)
	records, recordsError := c.store.Lookup(request.Tenant, a)
	on, opened, openError := c.store.LastOpen(request.Tenant, a)
	verdict = api.ConsentVerdict{Measure: measure.String(), Consents: presentConsents(records)}
	if opened {
		verdict.LastOpen = on.Format(time.DateOnly)
	}
	return verdict, errors.Join(allowedError, recordsError, openError)
}

// Set implements admin.Consents.
func (c *consentDesk) Set(ctx context.Context, request api.Consent) (api.Consent, error) {
	a, err := c.reader(request.Tenant, request.Address)
	if err != nil {
		return request, err
	}
	measure, err := account.ParseMeasure(request.Measure)
	if err != nil {
		return request, badRequest(err)
	}
	if request.By != "" && request.By != string(consent.Tenant) {
		return request, badRequest(errors.New("only what the tenant says can be set"))
	}
	r := consent.Record{Tenant: request.Tenant, Address: a, By: consent.Tenant, Measure: measure, Time: request.Time, Source: request.Source}
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	return presentConsent(r), asBadConsent(c.store.Set(ctx, r))
}

// Remove implements admin.Consents.
func (c *consentDesk) Remove(ctx context.Context, request api.ConsentSelector) (bool, error) {
	a, err := c.reader(request.Tenant, request.Address)
	if err != nil {
		return false, err
	}
	by := consent.Origin(cmp.Or(request.By, string(consent.Tenant)))
	if by != consent.Tenant && by != consent.Reader && by != consent.Erased {
		return false, badRequest(fmt.Errorf("%q is not tenant, reader or erased", request.By))
	}
	return c.store.Remove(ctx, request.Tenant, a, by)
}

// List implements admin.Consents.
func (c *consentDesk) List(_ context.Context, request api.ConsentListRequest) (api.ConsentPage, error) {
	records, next, err := c.store.List(request.Tenant, request.After, request.Limit)
	return api.ConsentPage{Consents: presentConsents(records), Next: next}, asBadConsent(err)
}

// Unopened implements admin.Consents.
func (c *consentDesk) Unopened(_ context.Context, request api.UnopenedRequest) (api.Unopened, error) {
	since, err := time.Parse(time.DateOnly, request.Since)
	if err != nil {
		return api.Unopened{}, badRequest(errors.New("since is no day such as 2026-05-01"))
	}
	answer := api.Unopened{Addresses: []string{}}
	for _, text := range request.Addresses {
		a, err := c.reader(request.Tenant, text)
		if err != nil {
			return api.Unopened{}, err
		}
		on, opened, err := c.store.LastOpen(request.Tenant, a)
		if err != nil {
			return api.Unopened{}, err
		}
		if !opened || on.Before(since) {
			answer.Addresses = append(answer.Addresses, text)
		}
	}
	return answer, nil
}

func presentConsents(records []consent.Record) []api.Consent {
	all := make([]api.Consent, 0, len(records))
	for _, r := range records {
		all = append(all, presentConsent(r))
	}
	return all
}

func presentConsent(r consent.Record) api.Consent {
	return api.Consent{Tenant: r.Tenant, Address: r.Address.String(), Measure: r.Measure.String(), By: string(r.By), Time: r.Time, Source: r.Source}
}

// asBadConsent tells the operator's mistakes from ours.
func asBadConsent(err error) error {
	if errors.Is(err, consent.ErrRecord) || errors.Is(err, consent.ErrCursor) {
		return badRequest(err)
	}
	return err
}
