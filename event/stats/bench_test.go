package stats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// hits are opens and clicks of people, two to one, on mail of a week: each
// message to one reader where single is set, else to a thousand.
func hits(n int, single bool) []event.Record {
	records := make([]event.Record, n)
	for i := range records {
		reader := i * 2 / 3
		message, index := reader, 0
		if !single {
			message, index = reader/1000, reader%1000
		}
		e := event.Event{
			ID: fmt.Sprint("event-", i), Type: event.Opened, Time: noon(2 + i%7), Tenant: "shop", Stream: "marketing",
			Campaign: fmt.Sprint("c", message%50), Message: messageID(message, noon(1).Add(time.Duration(message)*time.Second)), Index: index,
		}
		if i%3 == 2 {
			e.Type, e.URL = event.Clicked, fmt.Sprintf("https://shop.example/page-%d", i%40)
		}
		records[i] = event.Record{Position: uint64(i + 1), Event: e}
	}
	return records
}

// BenchmarkCount reports what a million hits take of the disk, and how many
// events are counted in a second.
func BenchmarkCount(b *testing.B) {
	for name, single := range map[string]bool{"one reader a message": true, "a thousand": false} {
		b.Run(name, func(b *testing.B) {
			records := hits(b.N, single)
			s := openTest(b, Options{MaskBelow: 10})
			b.ResetTimer()
			for len(records) > 0 {
				n := min(batchRecords, len(records))
				if err := s.count(records[:n]); err != nil {
					b.Fatal(err)
				}
				records = records[n:]
			}
			b.StopTimer()
			info, err := os.Stat(s.options.Path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(info.Size())/float64(b.N), "MB/million")
			b.ReportMetric(used(b, s)/float64(b.N), "used-MB/million")
		})
	}
}

// used is how many octets of the file are not free.
func used(b *testing.B, s *Store) float64 {
	b.Helper()
	stats := s.db.Stats()
	info, err := os.Stat(s.options.Path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size() - int64(stats.FreePageN)*int64(s.db.Info().PageSize))
}

// BenchmarkReport reads the totals of a thousand campaigns, and their days.
func BenchmarkReport(b *testing.B) {
	s := openTest(b, Options{MaskBelow: 10})
	var told story
	for n := range 1000 {
		told.campaign(names{"shop", "marketing", fmt.Sprint("c", n)}, 1+n%9, 20, 15, 10, 5, 5, 5)
	}
	if err := s.count(told.records); err != nil {
		b.Fatal(err)
	}
	for _, group := range []Group{ByCampaign, ByDay} {
		b.Run(string(group), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Report(context.Background(), Query{Group: group}); err != nil && !errors.Is(err, ErrGroup) {
					b.Fatal(err)
				}
			}
		})
	}
}
