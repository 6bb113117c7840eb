package offline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/event"
	eventlog "github.com/postrider-mta/postrider/event/log"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/boltqueue"
)

// folder makes a configuration whose data folder holds mail to fifty, a fifth
// of which is delivered.
func folder(t *testing.T) (configuration, data string) {
	t.Helper()
	dir := t.TempDir()
	data = filepath.Join(dir, "data")
	configuration = filepath.Join(dir, "postrider.toml")
	if err := os.WriteFile(configuration, []byte("hostname = \"mail.example.com\"\ndata_dir = \"data\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(data, "events")})
	if err != nil {
		t.Fatal(err)
	}
	store, err := boltqueue.Open(boltqueue.Options{Dir: data, Events: events, MinFree: -1, RestartDelay: -1, SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		accept(t, store, fmt.Sprintf("reader%d@example.net", i))
	}
	deliveries, err := store.Next(t.Context(), queue.Key{Tenant: "shop", Stream: "news", Domain: "example.net"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deliveries {
		err := store.Settle(t.Context(), []queue.Outcome{{Recipient: d.ID(), Event: d.Event(event.Delivered, time.Now())}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(store.Close(), events.Close()); err != nil {
		t.Fatal(err)
	}
	return configuration, data
}

func accept(t *testing.T, store queue.Store, recipient string) {
	t.Helper()
	to, err := mail.ParseAddress(recipient)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	body := make([]byte, 500)
	err = store.Accept(context.Background(), &queue.Submission{
		Message: queue.Message{
			ID: queue.NewID(now), Tenant: "shop", Stream: "news", Accepted: now, Expires: now.Add(time.Hour), Size: int64(len(body)),
		},
		Recipients: []mail.Recipient{{Address: to}}, Body: body,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStore takes a store from its damage to its repair, as an operator would.
func TestStore(t *testing.T) {
	configuration, data := folder(t)
	ctx := t.Context()
	report, err := offline.CheckStore(ctx, configuration)
	if err != nil || !report.Whole() || report.Recipients != 40 || report.Queues != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := offline.RebuildStore(ctx, configuration, false); !errors.Is(err, offline.ErrWhole) {
		t.Errorf("a whole store was rebuilt: %v", err)
	}
	database := filepath.Join(data, "queue.db")
	if err := os.Truncate(database, 5000); err != nil {
		t.Fatal(err)
	}
	if report, err = offline.CheckStore(ctx, configuration); err != nil || report.Whole() {
		t.Errorf("%+v, %v", report, err)
	}
	lock, err := datafolder.Lock(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := offline.RebuildStore(ctx, configuration, false); !errors.Is(err, datafolder.ErrInUse) {
		t.Errorf("rebuilt beside a daemon: %v", err)
	}
	if _, err := offline.CheckStore(ctx, configuration); !errors.Is(err, datafolder.ErrInUse) {
		t.Errorf("checked beside a daemon: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	rebuilt, err := offline.RebuildStore(ctx, configuration, false)
	if err != nil || rebuilt.Recipients != 40 || rebuilt.Kept != database+".damaged" || rebuilt.Damaged != 0 {
		t.Errorf("%+v, %v", rebuilt, err)
	}
	if info, err := os.Stat(rebuilt.Kept); err != nil || info.Size() != 5000 {
		t.Errorf("the damaged file was not kept: %v", err)
	}
	if report, err = offline.CheckStore(ctx, configuration); err != nil || !report.Whole() || report.Recipients != 40 {
		t.Errorf("%+v, %v", report, err)
	}
	if rebuilt, err = offline.RebuildStore(ctx, configuration, true); err != nil || rebuilt.Recipients != 40 || rebuilt.Kept != database+".damaged.2" {
		t.Errorf("%+v, %v", rebuilt, err)
	}
}
