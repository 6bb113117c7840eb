package daemon

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// controlled is a daemon whose mail goes to a server of the test's.
func controlled(t *testing.T, tenant string) (*daemon, *site) {
	t.Helper()
	_, address := testmx.Start(t, testmx.Options{})
	s := newSite(t, basic+fmt.Sprintf("[[route]]\nmatch = \"*\"\nvia = %q\n[[tenant]]\nname = \"shop\"\n%s", address.String(), tenant))
	d, _ := s.started()
	return d, s
}

func request(stream string) api.SendRequest {
	return api.SendRequest{
		From: "a@example.com", To: []string{"reader@example.net"}, Message: []byte("X-Postrider-Stream: " + stream + "\n" + letter),
	}
}

// awaitDelivered waits until so many recipients were delivered.
func awaitDelivered(t *testing.T, d *daemon, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		records, err := d.events.Read(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		delivered := 0
		for _, r := range records {
			if r.Event.Type == event.Delivered {
				delivered++
			}
		}
		if delivered == n {
			return
		}
		if delivered > n || time.Now().After(deadline) {
			t.Fatalf("%d were delivered, want %d", delivered, n)
		}
	}
}

// TestHoldAndRelease proves that the operator's hold keeps mail here, of whole
// queues or of one recipient, until it is released, while other mail goes.
func TestHoldAndRelease(t *testing.T) {
	d, s := controlled(t, "")
	client := s.client()
	for i, selector := range []api.Selector{{Stream: "marketing"}, {Stream: "marketing", Recipient: "reader@example.net"}} {
		hold, err := client.Hold(t.Context(), api.ChangeRequest{Selector: selector, Reason: "wrong price"})
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range []string{"marketing", "transactional"} {
			if _, err := client.Send(t.Context(), request(stream)); err != nil {
				t.Fatal(err)
			}
		}
		awaitDelivered(t, d, 2*i+1)
		page, err := client.List(t.Context(), api.ListRequest{})
		if err != nil || len(page.Recipients) != 1 || page.Recipients[0].Held != "wrong price" || page.Recipients[0].Attempts != 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		// What was held by itself may be on its way before it is counted.
		changed, err := client.Release(t.Context(), hold.ID)
		if err != nil || changed.Recipients > 1 || i == 0 && changed.Recipients != 1 {
			t.Fatalf("%+v, %v", changed, err)
		}
		awaitDelivered(t, d, 2*i+2)
		var failure *api.Error
		if _, err := client.Release(t.Context(), hold.ID); !errors.As(err, &failure) || failure.Status != 404 {
			t.Errorf("released twice: %v", err)
		}
	}
}

// TestHeldMailExpires proves that what is held ends when its time is over.
func TestHeldMailExpires(t *testing.T) {
	d, s := controlled(t, "")
	client := s.client()
	if _, err := client.Hold(t.Context(), api.ChangeRequest{All: true}); err != nil {
		t.Fatal(err)
	}
	short := request("marketing")
	short.Message = append([]byte("X-Postrider-Expires: 300ms\n"), short.Message...)
	for _, r := range []api.SendRequest{short, request("marketing")} {
		if _, err := client.Send(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); d.store.Stats().Recipients != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", d.store.Stats())
		}
	}
	awaitDelivered(t, d, 0)
}

// TestWindowAndQuota proves that a closed window and a quota are the ones of
// the configuration, and that both follow it when it is read again.
func TestWindowAndQuota(t *testing.T) {
	day := time.Now().UTC().Add(36 * time.Hour).Weekday().String()[:3]
	d, s := controlled(t, fmt.Sprintf("max_messages = 1\nwindows = \"%s 12:00-12:01\"\n", day))
	client := s.client()
	if _, err := client.Send(t.Context(), request("marketing")); err != nil {
		t.Fatal(err)
	}
	var failure *api.Error
	if _, err := client.Send(t.Context(), request("marketing")); !errors.As(err, &failure) || failure.Status != 429 {
		t.Errorf("beyond the quota: %v", err)
	}
	queues, err := client.Queues(t.Context())
	if err != nil || len(queues.Queues) != 1 || time.Until(queues.Queues[0].Opens) < time.Hour {
		t.Fatalf("%+v, %v", queues, err)
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.write("postrider.toml", replaced(string(text), "max_messages = 1\n", "", fmt.Sprintf("windows = \"%s 12:00-12:01\"\n", day), ""))
	if err := client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Send(t.Context(), request("marketing")); err != nil {
		t.Errorf("without a quota: %v", err)
	}
	awaitDelivered(t, d, 2)
}
