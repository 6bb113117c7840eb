package daemon

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
)

// awaitEvent waits for the first event of a type.
func awaitEvent(t *testing.T, d *daemon, kind event.Type) event.Event {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		records, err := d.events.Read(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Event.Type == kind {
				return r.Event
			}
		}
	}
	t.Fatalf("no event %s", kind)
	return event.Event{}
}

// TestSuppressions proves that the operator's changes hold at once, at
// submission and before, and are told as events.
func TestSuppressions(t *testing.T) {
	d, s := controlled(t, "")
	client, ctx := s.client(), t.Context()
	one := api.Suppression{Tenant: "shop", Address: "reader@example.net"}
	for _, want := range []bool{true, false} {
		if answer, err := client.Suppress(ctx, one); err != nil || answer.Added != want {
			t.Fatalf("%+v, %v", answer, err)
		}
	}
	if e := awaitEvent(t, d, event.Suppressed); e.Recipient != "reader@example.net" || e.Reason != "manual" || e.Tenant != "shop" || e.ID == "" {
		t.Errorf("event %+v", e)
	}
	if _, err := client.Send(ctx, request("marketing")); err == nil || !strings.Contains(err.Error(), "suppressed: manual") {
		t.Errorf("sent: %v", err)
	}
	verdict, err := client.CheckSuppression(ctx, api.SuppressionCheck{Tenant: "shop", Address: "Reader@Example.net"})
	if err != nil || !verdict.Suppressed || verdict.Reason != "manual" || len(verdict.Suppressions) != 1 {
		t.Errorf("%+v, %v", verdict, err)
	}
	removed, err := client.Unsuppress(ctx, api.SuppressionSelector{Tenant: "shop", Address: "reader@example.net"})
	if err != nil || len(removed.Suppressions) != 1 {
		t.Errorf("%+v, %v", removed, err)
	}
	awaitEvent(t, d, event.Unsuppressed)
	if _, err := client.Send(ctx, request("marketing")); err != nil {
		t.Errorf("not sent: %v", err)
	}
	awaitDelivered(t, d, 1)
}

// TestSuppressedSinceSubmission proves that an entry overtakes mail that was
// accepted, and that what the operator knows is not told.
func TestSuppressedSinceSubmission(t *testing.T) {
	d, s := controlled(t, "")
	client, ctx := s.client(), t.Context()
	hold, err := client.Hold(ctx, api.ChangeRequest{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Send(ctx, request("transactional")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Suppress(ctx, api.Suppression{Tenant: "*", Address: "reader@example.net", Reason: "complaint", Stream: "transactional"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Release(ctx, hold.ID); err != nil {
		t.Fatal(err)
	}
	if e := awaitEvent(t, d, event.Dropped); e.Reason != "suppressed: by the operator" {
		t.Errorf("event %+v", e)
	}
}

// TestSuppressedDrop proves that a stream may take what it will not send.
func TestSuppressedDrop(t *testing.T) {
	d, s := controlled(t, "[[tenant.stream]]\nname = \"marketing\"\nsuppressed = \"drop\"\n")
	client, ctx := s.client(), t.Context()
	if _, err := client.Suppress(ctx, api.Suppression{Tenant: "shop", Address: "reader@example.net", Reason: "hard_bounce"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Send(ctx, request("marketing")); err != nil {
		t.Fatal(err)
	}
	if e := awaitEvent(t, d, event.Dropped); e.Reason != "suppressed: hard_bounce" {
		t.Errorf("event %+v", e)
	}
	if _, err := client.Send(ctx, request("transactional")); err == nil {
		t.Error("sent on a stream that refuses")
	}
}

// TestSuppressionLists proves that a list comes in over the socket and goes out
// as it came.
func TestSuppressionLists(t *testing.T) {
	d, s := controlled(t, "")
	client, ctx := s.client(), t.Context()
	list := "address,reason\n" + strings.Repeat("filler@example.net,manual\n", 20_000) + "last@example.net,unsubscribed\nnobody,manual\n"
	done, err := client.ImportSuppressions(ctx, api.SuppressionImport{Format: "csv", Tenant: "shop"}, strings.NewReader(list))
	if err != nil || done.Added != 2 || done.Known != 19_999 || done.Refused != 1 || done.Problems[0].Line != 20_003 {
		t.Fatalf("%+v, %v", done, err)
	}
	if e := awaitEvent(t, d, event.Suppressed); e.Recipient != "" || e.Reason != "import of 2 entries" {
		t.Errorf("event %+v", e)
	}
	var out bytes.Buffer
	if err := client.ExportSuppressions(ctx, api.SuppressionExport{Format: "csv", Selector: api.SuppressionSelector{Tenant: "shop"}}, &out); err != nil {
		t.Fatal(err)
	}
	again, err := client.ImportSuppressions(ctx, api.SuppressionImport{Format: "csv", Tenant: "shop"}, &out)
	if err != nil || again.Known != 2 || again.Added+again.Refused != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	page, err := client.Suppressions(ctx, api.SuppressionListRequest{Selector: api.SuppressionSelector{Tenant: "shop"}, Limit: 1})
	if err != nil || len(page.Suppressions) != 1 || page.Next == "" {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestSuppressionMistakes proves that what is wrong with a request is told.
func TestSuppressionMistakes(t *testing.T) {
	_, s := controlled(t, "")
	client, ctx := s.client(), t.Context()
	only := func(_ any, err error) error { return err }
	for want, call := range map[string]func() error{
		"no tenant \"none\"": func() error {
			return only(client.Suppress(ctx, api.Suppression{Tenant: "none", Address: "a@example.net"}))
		},
		"no @": func() error { return only(client.Suppress(ctx, api.Suppression{Tenant: "shop", Address: "a"})) },
		"does not expire": func() error {
			return only(client.Suppress(ctx, api.Suppression{Tenant: "shop", Address: "a@example.net", Reason: "complaint", Expires: time.Now().Add(time.Hour)}))
		},
		"it needs a tenant, a reason": func() error { return only(client.Suppress(ctx, api.Suppression{Tenant: "shop"})) },
		"the reason is none of": func() error {
			return only(client.Suppressions(ctx, api.SuppressionListRequest{Selector: api.SuppressionSelector{Reason: "x"}}))
		},
		"removing needs": func() error { return only(client.Unsuppress(ctx, api.SuppressionSelector{Tenant: "shop"})) },
		"hexadecimal": func() error {
			return only(client.Suppress(ctx, api.Suppression{Tenant: "shop", Hash: "x"}))
		},
		"neither an address nor a hash": func() error {
			return only(client.ImportSuppressions(ctx, api.SuppressionImport{Format: "csv", Tenant: "shop"}, strings.NewReader("reason\n"+strings.Repeat("x\n", 1<<18))))
		},
		"neither csv nor json": func() error {
			return only(client.ImportSuppressions(ctx, api.SuppressionImport{Format: "xls", Tenant: "shop"}, strings.NewReader("x")))
		},
		"not a place in the list": func() error {
			return only(client.Suppressions(ctx, api.SuppressionListRequest{After: "!"}))
		},
	} {
		err := call()
		var failure *api.Error
		if !errors.As(err, &failure) || failure.Status != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
