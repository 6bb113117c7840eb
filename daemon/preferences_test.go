package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/tracking"
)

// TestChoices proves that each choice does what it says and is undone by its
// own, and that what the reader did not do stays.
func TestChoices(t *testing.T) {
	list, err := suppress.Open(suppress.Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	store, ctx, reader := consents(t), context.Background(), address(t, "reader@example.net")
	tenant := shop("https://t.example.com")
	tenant.DisplayName, tenant.Language = "The Shop", "de"
	landings := 0
	c := &chooser{unsubscriber{list}, tenants(tenant), list, store, func(context.Context, string, mail.Address) { landings++ }}
	for _, reason := range []suppress.Reason{suppress.Complaint, suppress.HardBounce, suppress.Manual} {
		if _, err := list.Add(ctx, suppress.Entry{Tenant: "shop", Stream: "kept", Address: reader, Reason: reason, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	choose := func(do tracking.Do, stream string, want bool) tracking.Choices {
		t.Helper()
		changed, err := c.Choose(ctx, tracking.Choice{Do: do, Tenant: "shop", Address: reader, Stream: stream, Message: "m"})
		if err != nil || changed != want {
			t.Errorf("%s %s: changed %v, %v", do, stream, changed, err)
		}
		now, err := c.Choices("shop", account.Marketing, reader)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	left := func(stream string) bool {
		t.Helper()
		_, found, err := list.Check("shop", stream, reader)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	now := choose(tracking.Leave, account.Marketing, true)
	if now.Tenant != "The Shop" || now.Language != "de" || len(now.Streams) != 1 || now.Streams[0] != (tracking.StreamChoice{Name: account.Marketing, DisplayName: account.Marketing, Left: true}) || now.AllLeft || !left(account.Marketing) {
		t.Errorf("left: %+v", now)
	}
	choose(tracking.Leave, account.Marketing, false)
	if now = choose(tracking.LeaveAll, "", true); !now.AllLeft {
		t.Errorf("left all: %+v", now)
	}
	if now = choose(tracking.ReturnAll, "", true); now.AllLeft || !now.Streams[0].Left || !left(account.Marketing) {
		t.Errorf("what was left before is left no more: %+v", now)
	}
	if now = choose(tracking.Return, account.Marketing, true); now.Streams[0].Left || left(account.Marketing) {
		t.Errorf("returned: %+v", now)
	}
	choose(tracking.Return, account.Marketing, false)
	// Not even asked for its own stream does a return lift what was not chosen.
	choose(tracking.Return, "kept", false)
	if entries, err := list.Lookup("shop", reader); err != nil || len(entries) != 3 {
		t.Errorf("%+v, %v", entries, err)
	}
	if now = choose(tracking.Unmeasure, "", true); !now.Unmeasured {
		t.Errorf("unmeasured: %+v", now)
	}
	if m, err := store.Allowed("shop", reader); m != account.MeasureNone || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	if now = choose(tracking.Measure, "", true); now.Unmeasured {
		t.Errorf("measured: %+v", now)
	}
	if landings != 3 {
		t.Errorf("waited for mail under way %d times", landings)
	}
	if _, err := c.Choose(ctx, tracking.Choice{Do: "sell", Tenant: "shop", Address: reader}); err == nil {
		t.Error("made a choice that is none")
	}
	if now, err := c.Choices("gone", "digest", reader); err != nil || len(now.Streams) != 1 || now.Streams[0].Name != "digest" {
		t.Errorf("of a tenant who is gone: %+v, %v", now, err)
	}
}
