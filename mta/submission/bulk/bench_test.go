package bulk_test

import (
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// BenchmarkCheck is all rules over 50 KB of HTML, with a way out at its end.
func BenchmarkCheck(b *testing.B) {
	m := parse(b, strings.Replace(good, "<p>Hello. ", "<p>"+strings.Repeat("All that is new, in some words. ", 1500), 1))
	b.SetBytes(int64(len(m.Octets)))
	b.ReportAllocs()
	for b.Loop() {
		bulk.Check(m, all)
	}
}
