package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// BenchmarkTake reports what one event costs, of a thousand campaigns that go to
// a thousand sites, and what the file takes then.
func BenchmarkTake(b *testing.B) {
	w, err := Open(Options{
		Path: b.TempDir() + "/rates.json", Rules: func(string, string) Rules { return usual() },
		Act: func(context.Context, *Decision) error { return nil }, HoldID: func(_ time.Time, seed string) string { return seed },
		Now: begin,
	})
	if err != nil {
		b.Fatal(err)
	}
	records := make([]event.Record, 100_000)
	for n := range records {
		records[n] = event.Record{Position: uint64(n + 1), Event: event.Event{
			ID: fmt.Sprint(n), Type: event.Delivered, Time: begin(), Tenant: "shop", Stream: "marketing", Campaign: fmt.Sprint("c", n%1000),
			Message: "m", Index: n, Recipient: fmt.Sprintf("r@d%d.example", n%5000), Site: fmt.Sprintf("s%d.example", n%999),
		}}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		w.take(&records[n%len(records)])
	}
	text, err := w.encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(text)), "file-octets")
}
