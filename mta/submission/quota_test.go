package submission

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/account"
)

// startWithQuota serves a tenant with a quota on its first listener, and one
// without on its second.
func startWithQuota(t *testing.T, quota account.Quota) *fixture {
	free := trusted()
	free.Name, free.Tenant = "free", "hidden"
	o := options(trusted(), free)
	directory := accounts()
	acme := directory.tenants["acme"]
	acme.Quota = quota
	directory.tenants["acme"] = acme
	o.Accounts = directory
	return start(t, o)
}

func TestQuota(t *testing.T) {
	for name, tc := range map[string]struct {
		quota account.Quota
		fit   int
	}{
		"max_messages": {account.Quota{Messages: 2}, 2},
		"max_bytes":    {account.Quota{Bytes: 1000}, -1},
		"max_per_hour": {account.Quota{PerHour: 3}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := startWithQuota(t, tc.quota)
			c := f.greeted(0)
			c.message(simple, "250")
			if tc.fit < 0 {
				tc.fit = int(tc.quota.Bytes / f.store.last(t).Message.Size)
			}
			for range tc.fit - 1 {
				c.message(simple, "250")
			}
			c.envelope()
			c.say("DATA", "354")
			c.send(simple + "\r\n.\r\n")
			if reply := c.reply(); !strings.HasPrefix(reply, "452 4.3.1 the account's quota is used up, "+name+": ") {
				t.Errorf("answered %q", reply)
			}
			if f.store.count() != tc.fit {
				t.Errorf("%d were accepted, want %d", f.store.count(), tc.fit)
			}
			if _, err := f.server.Inject(t.Context(), injection(t, "a@example.net", "From: operator@example.com\n\nx\n")); !errors.Is(err, ErrQuota) || !strings.Contains(err.Error(), name) {
				t.Errorf("Inject: %v", err)
			}
			f.greeted(1).message(simple, "250") // another tenant's mail goes on
			f.store.mu.Lock()
			f.store.accepted = nil // it was sent
			f.store.mu.Unlock()
			want := "250"
			if name == "max_per_hour" {
				want = "452"
			}
			f.greeted(0).message(simple, want)
		})
	}
}

// TestQuotaAtOnce lets more clients come at once than the quota has room for.
func TestQuotaAtOnce(t *testing.T) {
	f := startWithQuota(t, account.Quota{Messages: 5})
	var wait sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for range 20 {
		wait.Go(func() {
			_, err := f.server.Inject(t.Context(), injection(t, "a@example.net", "From: operator@example.com\n\nx\n"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				accepted++
			case !errors.Is(err, ErrQuota):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if accepted > 5 || accepted != f.store.count() {
		t.Errorf("%d were accepted", accepted)
	}
}

// TestQuotaFailures holds that what the store refuses counts for nothing, and
// that nothing is remembered of a tenant who is silent.
func TestQuotaFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		q := newQuotas(store)
		tenant := account.Tenant{Name: "acme", Quota: account.Quota{PerHour: 2, Messages: 10}}
		for range 5 {
			leave, err := q.enter(tenant, 1)
			if err != nil {
				t.Fatal(err)
			}
			leave(false)
		}
		if len(q.tenants) != 0 {
			t.Errorf("%d tenants are remembered", len(q.tenants))
		}
		for range 2 {
			leave, err := q.enter(tenant, 1)
			if err != nil {
				t.Fatal(err)
			}
			leave(true)
		}
		time.Sleep(59 * time.Minute)
		if _, err := q.enter(tenant, 1); err == nil {
			t.Error("a third message within the hour")
		}
		time.Sleep(3 * time.Minute)
		leave, err := q.enter(tenant, 1)
		if err != nil {
			t.Fatal(err)
		}
		leave(false)
		if len(q.tenants) != 0 {
			t.Errorf("%d tenants are remembered after the hour", len(q.tenants))
		}
	})
}

// TestHour compares the counter with a list of all times.
func TestHour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h hour
		var times []int64
		minute := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			minute += rapid.SampledFrom([]int64{0, 0, 1, 7, 59, 60, 61, 1000}).Draw(t, "pause")
			want := int64(0)
			for _, at := range times {
				if minute-at <= 60 {
					want++
				}
			}
			if got := h.count(minute); got != want {
				t.Fatalf("counts %d, want %d", got, want)
			}
			if rapid.Bool().Draw(t, "add") {
				h.add(minute)
				times = append(times, minute)
			}
		}
	})
}

func TestExpires(t *testing.T) {
	o := options(trusted())
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return now }
	f := start(t, o)
	later := now.Add(2 * time.Hour)
	for header, want := range map[string]time.Time{
		"Expires: 2030-01-01T12:30:00Z":                       now.Add(30 * time.Minute),
		"Expires: 2030-01-01T13:30:00+01:00":                  now.Add(30 * time.Minute),
		"expires: Tue, 01 Jan 2030 12:30:00 +0000":            now.Add(30 * time.Minute),
		"Expires: " + fmt.Sprint(now.Add(time.Minute).Unix()): now.Add(time.Minute),
		"Expires: 45m": now.Add(45 * time.Minute),
		"Expires: 1h":  now.Add(time.Hour),
		"Stream: marketing\r\nX-Postrider-Expires: 5d":                               now.Add(5 * 24 * time.Hour),
		"Send-At: " + later.Format(time.RFC3339) + "\r\nX-Postrider-Expires: 1h":     later.Add(time.Hour),
		"Expires: 2030-01-01T14:30:00Z\r\nX-Postrider-Send-At: 2030-01-01T14:00:00Z": later.Add(30 * time.Minute),
	} {
		submitted(t, f, "X-Postrider-"+header+"\r\n"+simple)
		if got := f.store.last(t).Message.Expires; !got.Equal(want) {
			t.Errorf("%q: expires %s, want %s", header, got, want)
		}
	}
	for header, want := range map[string]string{
		"Expires: 2030-01-01T12:00:00Z": "has passed",
		"Expires: 3600":                 "has passed",
		"Expires: 61m":                  "is more than 1h0m0s after",
		"Expires: 2031-01-01T12:00:00Z": "is more than 1h0m0s after",
		"Expires: 0s":                   "no duration",
		"Expires: -5m":                  "no duration",
		"Expires: 1e3d":                 "no duration",
		"Expires: soon":                 "no date",
		"Expires: 300d":                 "no duration",
		"Expire: 1h":                    "did you mean X-Postrider-Expires?",
		"Expires: 2030-01-01T12:30:00Z\r\nX-Postrider-Send-At: 2030-01-01T14:00:00Z": "is not after X-Postrider-Send-At",
	} {
		c := f.greeted(0)
		c.envelope()
		c.say("DATA", "354")
		c.send("X-Postrider-" + header + "\r\n" + simple + "\r\n.\r\n")
		if reply := c.reply(); !strings.HasPrefix(reply, "550 5.6.0 X-Postrider-") || !strings.Contains(reply, want) {
			t.Errorf("%q: %q", header, reply)
		}
	}
}
