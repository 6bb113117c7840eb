package delivery

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

// provider has one rule for d.example.
func provider(t *testing.T, rule string) *shape.Providers {
	t.Helper()
	const head = "[[provider]]\nname = \"big\"\ndomains = \"d.example\"\n[[provider.rule]]\nname = \"said\"\ntext = \"says so\"\nreason = \"they say so\"\n"
	providers, err := (*shape.Providers)(nil).Override("rules", []byte(head+rule))
	if err != nil {
		t.Fatal(err)
	}
	return providers
}

// refuse answers every recipient of a tenant so; the others are taken.
func refuse(code int, tenantBody string) func(*fakeSession, smtpclient.Transaction) ([]smtpclient.Answer, error) {
	return func(_ *fakeSession, tr smtpclient.Transaction) ([]smtpclient.Answer, error) {
		if !strings.Contains(string(tr.Message[len(tr.Message)-1]), tenantBody) {
			return all(tr, ok), nil
		}
		return all(tr, smtpclient.Answer{Reply: mail.Reply{Code: code, Text: "somebody says so"}, Command: smtpclient.RCPT}), nil
	}
}

// TestRulesDecideOfRecipients: what is permanent may be tried again, and what
// is temporary may end.
func TestRulesDecideOfRecipients(t *testing.T) {
	for _, c := range []struct {
		action string
		code   int
		want   event.Type
	}{
		{"retry", 550, event.Deferred}, {"none", 550, event.Bounced}, {"bounce", 450, event.Bounced}, {"none", 450, event.Deferred},
	} {
		run(t, time.Second, func(b *workbench) {
			b.shape.Providers = provider(t, `action = "`+c.action+`"`)
			b.world.send = refuse(c.code, "")
			b.store.accept(letter{body: "x"}, "r@d.example")
		}, func(t *testing.T, b *workbench) { wantCounts(t, b, map[event.Type]int{c.want: 1}) })
	}
}

// TestRulePausesTheSite: nobody is tried meanwhile, and nothing stays leased.
func TestRulePausesTheSite(t *testing.T) {
	run(t, time.Hour, func(b *workbench) {
		b.shape.Providers = provider(t, "action = [\"pause_site\", \"retry\"]\nfor = \"6h\"")
		b.world.send = refuse(550, "")
		for range 100 {
			b.store.accept(letter{body: "x"}, "r@d.example")
		}
		b.store.accept(letter{body: "x"}, "r@e.example")
	}, func(t *testing.T, b *workbench) {
		if n := b.world.transactions; n > 4 {
			t.Errorf("%d messages although the site is paused", n)
		}
		if n := len(b.store.leased); n != 0 {
			t.Errorf("%d leases wait", n)
		}
		if n := b.store.counts()[event.Bounced]; n != 1 {
			t.Errorf("%d bounces, want that of the other site", n)
		}
	})
}

// TestRulePausesATenant: the others go on, and it is tried again when the pause
// is over.
func TestRulePausesATenant(t *testing.T) {
	begin := func(b *workbench) {
		b.shape.Providers = provider(t, "action = [\"pause_tenant\", \"retry\"]\nfor = \"2h\"")
		b.world.send = refuse(550, "of a")
		for range 50 {
			b.store.accept(letter{tenant: "a", body: "of a"}, "r@d.example")
			b.store.accept(letter{tenant: "b", body: "of b"}, "r@d.example")
		}
	}
	run(t, time.Hour, begin, func(t *testing.T, b *workbench) {
		wantCounts(t, b, map[event.Type]int{event.Delivered: 50, event.Bounced: 0})
		if n := b.world.transactions; n > 60 {
			t.Errorf("%d messages", n)
		}
		for _, e := range b.store.events {
			if e.Type == event.Deferred && e.Reason != "" && !strings.Contains(e.Reason, "tenant paused: they say so") {
				t.Errorf("deferred for %q", e.Reason)
			}
		}
	})
	run(t, 4*time.Hour, func(b *workbench) {
		begin(b)
		first := b.world.send
		began := time.Now()
		b.world.send = func(s *fakeSession, tr smtpclient.Transaction) ([]smtpclient.Answer, error) {
			if time.Since(began) > time.Hour {
				return all(tr, ok), nil
			}
			return first(s, tr)
		}
	}, func(t *testing.T, b *workbench) { wantCounts(t, b, map[event.Type]int{event.Delivered: 100}) })
}
