package tracking_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postrider-mta/postrider/tracking"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) Write(body []byte) (int, error) { return len(body), nil }
func (d *discard) WriteHeader(int)                {}

func BenchmarkClick(b *testing.B) { benchmarkClick(b, nil) }

func benchmarkClick(b *testing.B, change func(*tracking.Options)) {
	s := &store{}
	tracker := newTracker(b, s, change)
	b.Cleanup(func() { tracker.Shutdown(context.Background()) })
	url := must(b)(links(b, "https://t.example").ClickURL(message(), 0, "https://example.com/a/page?of=some&length=too"))
	r := httptest.NewRequest("GET", url, nil)
	b.ReportAllocs()
	for b.Loop() {
		tracker.ServeHTTP(&discard{make(http.Header, 8)}, r)
		s.mutex.Lock()
		s.events = s.events[:0]
		s.mutex.Unlock()
	}
}
