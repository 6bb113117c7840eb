package submission

import (
	"context"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/queue"
)

// accept hands a submission of a tenant's to the store, if its quota allows.
func (s *Server) accept(ctx context.Context, tenant account.Tenant, submission *queue.Submission) error {
	leave, err := s.quotas.enter(tenant, submission.Message.Size)
	if err != nil {
		return err
	}
	err = s.options.Store.Accept(ctx, submission)
	leave(err == nil)
	return err
}

// quotas keep tenants within what was agreed. What is on its way into the
// store counts as if it were there, so that many clients at once cannot pass
// together. Memory holds an entry for each tenant with a quota that has sent
// within the hour.
type quotas struct {
	store Store
	begin time.Time

	mu      sync.Mutex
	tenants map[string]*tenantLoad
}

// tenantLoad is what a tenant hands in now, and handed in lately.
type tenantLoad struct {
	messages, bytes int64
	hour            hour
}

func newQuotas(store Store) *quotas {
	return &quotas{store: store, begin: time.Now(), tenants: map[string]*tenantLoad{}}
}

// enter counts a message on its way until leave is called.
func (q *quotas) enter(tenant account.Tenant, size int64) (leave func(accepted bool), err error) {
	if tenant.Quota == (account.Quota{}) {
		return func(bool) {}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	load := q.tenants[tenant.Name]
	if load == nil {
		load = &tenantLoad{}
		q.tenants[tenant.Name] = load
	}
	if err := q.check(tenant, load, size); err != nil {
		q.forget(tenant.Name, load)
		return nil, err
	}
	load.messages++
	load.bytes += size
	return func(accepted bool) { q.leave(tenant.Name, load, size, accepted) }, nil
}

func (q *quotas) leave(name string, load *tenantLoad, size int64, accepted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	load.messages--
	load.bytes -= size
	if accepted {
		load.hour.add(q.minute())
	}
	q.forget(name, load)
}

// forget drops an entry that says nothing.
func (q *quotas) forget(name string, load *tenantLoad) {
	if load.messages == 0 && load.hour.count(q.minute()) == 0 {
		delete(q.tenants, name)
	}
}

// minute counts since the start, whatever the wall clock does.
func (q *quotas) minute() int64 { return int64(time.Since(q.begin) / time.Minute) }

func (q *quotas) check(tenant account.Tenant, load *tenantLoad, size int64) error {
	quota := tenant.Quota
	used := q.store.Usage(tenant.Name)
	switch {
	case quota.Messages > 0 && used.Messages+load.messages >= quota.Messages:
		return overQuota("max_messages: %d messages may wait, try again when some have gone", quota.Messages)
	case quota.Bytes > 0 && used.Bytes+load.bytes+size > quota.Bytes:
		return overQuota("max_bytes: %d octets may wait, try again when some have gone", quota.Bytes)
	case quota.PerHour > 0 && load.hour.count(q.minute())+load.messages >= int64(quota.PerHour):
		return overQuota("max_per_hour: %d messages may be handed in within an hour, try again later", int64(quota.PerHour))
	}
	return nil
}

func overQuota(format string, bound int64) error {
	return refuse(452, smtp.EnhancedCode{4, 3, 1}, reasonQuota, "the account's quota is used up, "+format, bound)
}

// hour counts over the last hour, by minutes: the one that the hour began in
// counts in full, so that no hour ever holds more than was allowed.
type hour struct {
	slots [61]uint32
	// total is the sum of the slots; newest the minute of the latest.
	total, newest int64
}

// turn empties the slots that the hour has left behind.
func (h *hour) turn(minute int64) {
	for h.newest < minute && h.total > 0 {
		h.newest++
		slot := &h.slots[h.newest%int64(len(h.slots))]
		h.total -= int64(*slot)
		*slot = 0
	}
	h.newest = max(h.newest, minute)
}

func (h *hour) add(minute int64) {
	h.turn(minute)
	h.slots[h.newest%int64(len(h.slots))]++
	h.total++
}

func (h *hour) count(minute int64) int64 {
	h.turn(minute)
	return h.total
}
