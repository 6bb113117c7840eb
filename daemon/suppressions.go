package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/queue"
)

// suppressions are the list as the operator changes it: what changes is told
// as an event.
type suppressions struct {
	list   *suppress.Store
	record func(ctx context.Context, events []event.Event) error
	// known reports whether there is a tenant of that name.
	known func(tenant string) bool
}

var _ admin.Suppressions = (*suppressions)(nil)

// Check implements admin.Suppressions.
func (s *suppressions) Check(_ context.Context, request api.SuppressionCheck) (verdict api.SuppressionVerdict, err error) {
	address, err := mail.ParseAddress(request.Address)
	if err == nil {
		err = s.checkTenant(request.Tenant)
	}
	if err != nil {
		return verdict, asBadRequest(err)
	}
	entries, err := s.list.Lookup(request.Tenant, address)
	if err != nil {
		return verdict, err
	}
	decisive, found, err := s.list.Check(request.Tenant, request.Stream, address)
	return api.SuppressionVerdict{
		Suppressed: found, Reason: string(decisive.Reason), Suppressions: presentAll(entries),
	}, err
}

// Add implements admin.Suppressions.
func (s *suppressions) Add(ctx context.Context, request api.Suppression) (bool, error) {
	e, err := s.entry(request)
	if err != nil {
		return false, asBadRequest(err)
	}
	added, err := s.list.Add(ctx, e)
	if err != nil || !added || e.Reason == suppress.Erased {
		return added, asBadRequest(err)
	}
	return added, s.tell(ctx, event.Suppressed, e)
}

func (s *suppressions) entry(request api.Suppression) (e suppress.Entry, err error) {
	e = suppress.Entry{
		Tenant: request.Tenant, Stream: request.Stream, Reason: suppress.Manual,
		Time: request.Time, Expires: request.Expires, Source: request.Source,
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if request.Reason != "" {
		if e.Reason, err = suppress.ParseReason(request.Reason); err != nil {
			return e, err
		}
	}
	if request.Address != "" {
		if e.Address, err = mail.ParseAddress(request.Address); err != nil {
			return e, err
		}
	}
	if request.Hash != "" {
		if e.Hash, err = suppress.ParseHash(request.Hash); err != nil {
			return e, err
		}
	}
	return e, s.checkTenant(e.Tenant)
}

// Remove implements admin.Suppressions.
func (s *suppressions) Remove(ctx context.Context, request api.SuppressionSelector) ([]api.Suppression, error) {
	x, err := s.selector(request)
	if err != nil {
		return nil, asBadRequest(err)
	}
	removed, err := s.list.Remove(ctx, x)
	if err != nil {
		return nil, asBadRequest(err)
	}
	told := removed[:0:0]
	for _, e := range removed {
		if e.Reason != suppress.Erased {
			told = append(told, e)
		}
	}
	return presentAll(removed), s.tell(ctx, event.Unsuppressed, told...)
}

// List implements admin.Suppressions.
func (s *suppressions) List(ctx context.Context, request api.SuppressionListRequest) (page api.SuppressionPage, err error) {
	x, err := s.selector(request.Selector)
	if err != nil {
		return page, asBadRequest(err)
	}
	entries, next, err := s.list.List(ctx, x, request.After, request.Limit)
	return api.SuppressionPage{Suppressions: presentAll(entries), Next: next}, asBadRequest(err)
}

// Import implements admin.Suppressions. One event tells of all that it added.
func (s *suppressions) Import(ctx context.Context, request api.SuppressionImport, list io.Reader) (api.SuppressionsImported, error) {
	i := suppress.Import{Tenant: request.Tenant, Stream: request.Stream}
	var err error
	if i.Format, err = suppress.ParseFormat(request.Format); err != nil {
		return api.SuppressionsImported{}, badRequest(err)
	}
	if request.Reason != "" {
		i.Reason, err = suppress.ParseReason(request.Reason)
	}
	if err = errors.Join(err, s.checkTenant(i.Tenant)); err != nil {
		return api.SuppressionsImported{}, badRequest(err)
	}
	done, err := s.list.Import(ctx, list, i)
	answer := api.SuppressionsImported{Added: done.Added, Known: done.Known, Expired: done.Expired, Refused: done.Refused}
	for _, p := range done.Problems {
		answer.Problems = append(answer.Problems, api.LineProblem{Line: p.Line, Problem: p.Err.Error()})
	}
	if done.Added == 0 {
		return answer, asBadRequest(err)
	}
	// What was added stays added, whatever ended the import.
	told := s.record(context.WithoutCancel(ctx), []event.Event{{
		ID: changeID(event.Suppressed), Type: event.Suppressed, Time: time.Now().UTC(), Tenant: i.Tenant,
		Stream: i.Stream, Reason: fmt.Sprintf("import of %d entries", done.Added),
	}})
	return answer, errors.Join(asBadRequest(err), told)
}

// Export implements admin.Suppressions.
func (s *suppressions) Export(ctx context.Context, request api.SuppressionExport, w io.Writer) error {
	format, err := suppress.ParseFormat(request.Format)
	if err != nil {
		return badRequest(err)
	}
	x, err := s.selector(request.Selector)
	if err != nil {
		return asBadRequest(err)
	}
	list, err := suppress.NewWriter(w, format)
	if err != nil {
		return err
	}
	if err := s.list.Each(ctx, x, list.Write); err != nil {
		return asBadRequest(err)
	}
	return list.Flush()
}

func (s *suppressions) selector(request api.SuppressionSelector) (x suppress.Selector, err error) {
	x = suppress.Selector{Tenant: request.Tenant, Stream: request.Stream}
	if request.Reason != "" {
		if x.Reason, err = suppress.ParseReason(request.Reason); err != nil {
			return x, err
		}
	}
	if request.Address == "" {
		return x, nil
	}
	if x.Hash, err = suppress.ParseHash(request.Address); err == nil {
		return x, nil
	}
	x.Address, err = mail.ParseAddress(request.Address)
	return x, err
}

// checkTenant keeps a slip of the keyboard from being kept.
func (s *suppressions) checkTenant(name string) error {
	if name != suppress.AllTenants && !s.known(name) {
		return fmt.Errorf("%w: there is no tenant %q", suppress.ErrEntry, name)
	}
	return nil
}

// tell writes an event for each change.
func (s *suppressions) tell(ctx context.Context, kind event.Type, entries ...suppress.Entry) error {
	var events []event.Event
	for i := range entries {
		e := suppressionEvent(kind, &entries[i])
		e.ID = changeID(kind)
		events = append(events, e)
	}
	if err := s.record(context.WithoutCancel(ctx), events); err != nil {
		return fmt.Errorf("the list has changed, but the event could not be written: %w", err)
	}
	return nil
}

func changeID(kind event.Type) string { return queue.NewID(time.Now()).String() + "-" + string(kind) }

func suppressionEvent(kind event.Type, e *suppress.Entry) event.Event {
	return event.Event{
		Type: kind, Time: time.Now().UTC(), Tenant: e.Tenant, Stream: e.Stream,
		Recipient: e.Address.String(), Reason: string(e.Reason),
	}
}

func presentAll(entries []suppress.Entry) []api.Suppression {
	all := make([]api.Suppression, 0, len(entries))
	for _, e := range entries {
		all = append(all, api.Suppression{
			Tenant: e.Tenant, Stream: e.Stream, Address: e.Address.String(), Hash: e.Hash.String(),
			Reason: string(e.Reason), Time: e.Time, Expires: e.Expires, Source: e.Source,
		})
	}
	return all
}

// asBadRequest tells the operator's mistakes from ours.
func asBadRequest(err error) error {
	for _, mistake := range []error{
		suppress.ErrEntry, suppress.ErrHash, suppress.ErrFormat, suppress.ErrCursor, mail.ErrAddress,
	} {
		if errors.Is(err, mistake) {
			return badRequest(err)
		}
	}
	return err
}
