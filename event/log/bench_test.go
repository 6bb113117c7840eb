package log

import (
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
)

// BenchmarkAppend writes batches of 500: an accepted and a delivered event of
// each message, and a click on one in five. Bytes are those of the events.
func BenchmarkAppend(b *testing.B) {
	f := openTest(b, b.TempDir())
	position := uint64(0)
	var batch []event.Record
	for b.Loop() {
		position++
		n := int(position)
		r := accepted(position, n/2, time.Now())
		switch {
		case n%2 == 1:
			r = deferral(position, n/2, time.Now())
		case n%10 == 0:
			r = click(position, n/2-1, time.Now())
		}
		batch = append(batch, r)
		if len(batch) == 500 {
			f.append(b, batch...)
			batch = batch[:0]
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkRead(b *testing.B) {
	f := openTest(b, b.TempDir())
	var batch []event.Record
	for n := uint64(1); n <= 10000; n++ {
		batch = append(batch, accepted(n, int(n), noon(1)))
	}
	f.append(b, batch...)
	read, after := 0, uint64(0)
	for b.Loop() {
		records, err := f.Read(b.Context(), after, 500)
		if err != nil {
			b.Fatal(err)
		}
		read += len(records)
		after = 0
		if len(records) == 500 {
			after = records[499].Position
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}
