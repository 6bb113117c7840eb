package route_test

import (
	"fmt"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

// BenchmarkRemembered is a route whose answers are all in the cache.
func BenchmarkRemembered(b *testing.B) {
	server, err := testmx.StartDNS()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for i := range 5 {
		if err := server.Add(fmt.Sprintf("a.example. 600 IN MX %d m%d.example.", i, i), fmt.Sprintf("m%d.example. 600 IN A 198.51.100.%d", i, i)); err != nil {
			b.Fatal(err)
		}
	}
	router, err := route.New(route.Options{Resolver: []string{server.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	defer router.Close()
	b.ReportAllocs()
	for b.Loop() {
		found, err := router.Route(b.Context(), "a.example")
		if err != nil {
			b.Fatal(err)
		}
		_ = found.Key()
	}
}
