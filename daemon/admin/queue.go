package admin

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

const (
	defaultPage = 100
	maxPage     = 10_000
)

func (s *Server) queues(r *http.Request) (any, error) {
	statuses, err := s.options.Store.Queues(r.Context())
	if err != nil {
		return nil, err
	}
	stats := s.options.Store.Stats()
	answer := api.Queues{Queues: []api.Queue{}, Recipients: stats.Recipients, Messages: stats.Messages}
	if stats.Fault != nil {
		answer.Fault = stats.Fault.Error()
	}
	for _, status := range statuses {
		answer.Queues = append(answer.Queues, api.Queue{
			Tenant: status.Key.Tenant, Stream: status.Key.Stream, Domain: string(status.Key.Domain),
			Waiting: status.Waiting, Leased: status.Leased, Oldest: status.Oldest, NextDue: status.NextDue,
			Held: status.Held, Opens: status.Opens,
		})
	}
	return answer, nil
}

// list reads the page that a ListRequest asks for.
func (s *Server) list(r *http.Request) ([]queue.Entry, string, error) {
	request, err := decode[api.ListRequest](r)
	if err != nil {
		return nil, "", err
	}
	selector, err := parseSelector(request.Selector)
	if err != nil {
		return nil, "", err
	}
	limit, err := pageLimit(request.Limit)
	if err != nil {
		return nil, "", err
	}
	return s.options.Store.List(r.Context(), selector, request.After, limit)
}

func (s *Server) recipients(r *http.Request) (any, error) {
	entries, next, err := s.list(r)
	if err != nil {
		return nil, err
	}
	page := api.RecipientPage{Recipients: []api.Recipient{}, Next: next}
	for i := range entries {
		page.Recipients = append(page.Recipients, present(&entries[i]))
	}
	return page, nil
}

func present(e *queue.Entry) api.Recipient {
	m := e.Message
	r := api.Recipient{
		Message: m.ID.String(), Index: e.Index, Recipient: e.Recipient.Address.String(), From: m.Envelope.From.String(),
		Tenant: m.Tenant, Stream: m.Stream, Campaign: m.Campaign, Size: m.Size,
		Accepted: m.Accepted, Expires: m.Expires, Attempts: e.Attempts, Due: e.Due, Leased: e.Leased, Held: e.Held,
	}
	if e.Last != nil {
		r.LastReply, r.LastReason = e.Last.Reply, e.Last.Reason
	}
	return r
}

func (s *Server) retry(r *http.Request) (any, error) {
	_, selector, err := decodeChange(r)
	if err != nil {
		return nil, err
	}
	n, err := s.options.Store.Retry(r.Context(), selector)
	return api.Changed{Recipients: n}, err
}

func (s *Server) cancel(r *http.Request) (any, error) {
	request, selector, err := decodeChange(r)
	if err != nil {
		return nil, err
	}
	reason := request.Reason
	if reason == "" {
		reason = "cancelled by the operator"
	}
	n, err := s.options.Store.Cancel(r.Context(), selector, reason)
	return api.Changed{Recipients: n}, err
}

// pageLimit is how many rows a page has for whom asks for so many; 0 for the
// usual number.
func pageLimit(asked int) (int, error) {
	if asked < 0 || asked > maxPage {
		return 0, fail(http.StatusBadRequest, fmt.Sprintf("limit is not between 1 and %d", maxPage))
	}
	return cmp.Or(asked, defaultPage), nil
}

func decodeChange(r *http.Request) (api.ChangeRequest, queue.Selector, error) {
	request, err := decode[api.ChangeRequest](r)
	if err != nil {
		return request, queue.Selector{}, err
	}
	selector, err := parseSelector(request.Selector)
	if err == nil && selector == (queue.Selector{}) && !request.All {
		err = errNothingSelected()
	}
	return request, selector, err
}

func errNothingSelected() error {
	return fail(http.StatusBadRequest, "nothing is selected: name a message, recipient, tenant, stream, campaign or domain, or say all")
}

func parseSelector(s api.Selector) (queue.Selector, error) {
	selector := queue.Selector{Tenant: s.Tenant, Stream: s.Stream, Campaign: s.Campaign}
	var err error
	if s.Message != "" {
		if selector.Message, err = queue.ParseID(s.Message); err != nil {
			return selector, fail(http.StatusBadRequest, fmt.Sprintf("message: %v", err))
		}
	}
	if s.Recipient != "" {
		if selector.Recipient, err = mail.ParseAddress(s.Recipient); err != nil {
			return selector, fail(http.StatusBadRequest, fmt.Sprintf("recipient: %v", err))
		}
	}
	if s.Domain != "" {
		if selector.Domain, err = mail.ParseDomain(s.Domain); err != nil {
			return selector, fail(http.StatusBadRequest, fmt.Sprintf("domain: %v", err))
		}
	}
	return selector, nil
}
