package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// summaryDomains is how many domains the summary names.
const summaryDomains = 20

// listenStats opens the counters' listener, on loopback only: they name
// domains.
func listenStats(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil || !addr.Addr().IsLoopback() {
		return nil, fmt.Errorf("counters: %q is not a loopback address with a port, such as 127.0.0.1:2580", address)
	}
	return net.Listen("tcp", address)
}

// serveStats answers GET /counters until ctx ends.
func serveStats(ctx context.Context, server *testmx.Server, l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(server.Counters()) // fails only if the client went away
	})
	h := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	_ = h.Serve(l) // it ends by Close
}

// report prints a line of counters every interval until ctx ends.
func report(ctx context.Context, o Options, server *testmx.Server, last time.Time) {
	if o.StatsInterval <= 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(o.StatsInterval)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c := server.Counters()
			fmt.Fprintf(o.Output, "sink: %s per_s=%.1f\n", line(c), perSecond(c.Messages-before, now.Sub(last)))
			before, last = c.Messages, now
		}
	}
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func line(c testmx.Counters) string {
	return fmt.Sprintf("connections=%d current=%d peak=%d messages=%d recipients=%d bytes=%d refused=%d dropped=%d",
		c.Connections, c.Current, c.Peak, c.Messages, c.Recipients, c.Bytes, c.Refused, c.Dropped)
}

// writeSummary prints the busiest domains and, last, the counters.
func writeSummary(w io.Writer, c testmx.Counters, took time.Duration) {
	var names []string
	for name := range c.Domains {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := total(c.Domains[b]) - total(c.Domains[a]); d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		if i == summaryDomains {
			fmt.Fprintf(w, "sink: and %d domains more\n", len(names)-i)
			break
		}
		fmt.Fprintf(w, "sink: domain=%q accepted=%d refused=%d\n", name, c.Domains[name].Accepted, c.Domains[name].Refused)
	}
	fmt.Fprintf(w, "sink: %s per_s=%.1f\n", line(c), perSecond(c.Messages, took))
}

func total(d testmx.Domain) int64 { return d.Accepted + d.Refused }
