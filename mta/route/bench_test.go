package route_test

import (
	"fmt"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
)

// BenchmarkRemembered is a route whose answers are all in the cache: without
// policies, and with five hosts that all have TLSA records.
func BenchmarkRemembered(b *testing.B) {
	server, err := testmx.StartDNS()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	server.Sign(".")
	for i := range 5 {
		if err := server.Add(fmt.Sprintf("a.example. 600 IN MX %d m%d.example.", i, i), fmt.Sprintf("m%d.example. 600 IN A 198.51.100.%d", i, i),
			fmt.Sprintf("_25._tcp.m%d.example. 600 IN TLSA 3 1 1 %064x", i, i)); err != nil {
			b.Fatal(err)
		}
	}
	for name, policies := range map[string]route.Policies{"plain": {}, "policies": {DANE: true, STS: true}} {
		b.Run(name, func(b *testing.B) {
			router, err := route.New(route.Options{Resolver: []string{server.Addr()}, Policies: policies})
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
		})
	}
}
