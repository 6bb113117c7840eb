package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/privacy/consent"
)

// TestConsentDesk proves over the admin socket what the operator can ask and
// say, and that a slip changes nothing.
func TestConsentDesk(t *testing.T) {
	s := newSite(t, basic)
	d, _ := s.started()
	ctx, client := context.Background(), s.client()
	who := api.ConsentSelector{Tenant: "default", Address: "reader@example.net"}
	for _, wrong := range []api.Consent{
		{Tenant: "nobody", Address: who.Address, Measure: "none"},
		{Tenant: "default", Address: "reader", Measure: "none"},
		{Tenant: "default", Address: who.Address, Measure: "some"},
		{Tenant: "default", Address: who.Address, Measure: "none", By: "reader"},
	} {
		if _, err := client.SetConsent(ctx, wrong); err == nil {
			t.Errorf("took %+v", wrong)
		}
	}
	kept, err := client.SetConsent(ctx, api.Consent{Tenant: "default", Address: who.Address, Measure: "hygiene", Source: "form"})
	if err != nil || kept.By != "tenant" || kept.Time.IsZero() {
		t.Errorf("%+v, %v", kept, err)
	}
	d.consents.NoteOpen(d.consents.Person("default", address(t, who.Address)), time.Now())
	today := time.Now().UTC().Format(time.DateOnly)
	if v, err := client.CheckConsent(ctx, who); err != nil || v.Measure != "hygiene" || v.LastOpen != today || len(v.Consents) != 1 || v.Consents[0].Source != "form" {
		t.Errorf("%+v, %v", v, err)
	}
	asked := api.UnopenedRequest{Tenant: "default", Since: today, Addresses: []string{"never@example.net", who.Address}}
	if u, err := client.Unopened(ctx, asked); err != nil || len(u.Addresses) != 1 || u.Addresses[0] != "never@example.net" {
		t.Errorf("%+v, %v", u, err)
	}
	asked.Since = "2999-01-01"
	if u, err := client.Unopened(ctx, asked); err != nil || len(u.Addresses) != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	asked.Since = "May"
	if _, err := client.Unopened(ctx, asked); err == nil {
		t.Error("took May for a day")
	}
	err = d.consents.Set(ctx, consent.Record{Tenant: "default", Address: address(t, who.Address), By: consent.Reader, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if page, err := client.Consents(ctx, api.ConsentListRequest{Tenant: "default", Limit: 1}); err != nil || len(page.Consents) != 1 || page.Next == "" {
		t.Errorf("%+v, %v", page, err)
	}
	for _, by := range []string{"", "reader"} {
		who.By = by
		if answer, err := client.RemoveConsent(ctx, who); err != nil || !answer.Removed {
			t.Errorf("%q: %+v, %v", by, answer, err)
		}
	}
	if v, err := client.CheckConsent(ctx, who); err != nil || v.Measure != "individual" || len(v.Consents) != 0 || v.LastOpen != "" {
		t.Errorf("%+v, %v", v, err)
	}
	who.By = "somebody"
	if _, err := client.RemoveConsent(ctx, who); err == nil {
		t.Error("removed somebody's word")
	}
}
