package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// policies is a store of MTA-STS policies that was filled before.
type policies string

func (p policies) Load() ([]byte, error) { return []byte(p), nil }
func (policies) Save([]byte) error       { return nil }
func (policies) SetAside() error         { return nil }

// TestWirePolicies: a domain whose policy its mail exchanger fails waits, and
// the others at the same exchanger do not.
func TestWirePolicies(t *testing.T) {
	world := newInternet(t)
	config, _, err := testmx.SelfSigned("mx1.test")
	if err != nil {
		t.Fatal(err)
	}
	server := world.exchanger(1, testmx.Options{TLSConfig: config})
	world.record("strict.example. 60 IN MX 10 mx1.test.", "elsewhere.example. 60 IN MX 10 mx1.test.", "easy.example. 60 IN MX 10 mx1.test.",
		"demanded.example. 60 IN MX 10 mx1.test.")
	const policy = `{"domain":"%s.example","id":"1","mode":"enforce","mx":["%s"],"max_age":86400,"fetched":"%s"}`
	now := time.Now().UTC().Format(time.RFC3339)
	store := policies(fmt.Sprintf(`{"version":1,"policies":[`+policy+`,`+policy+`]}`, "strict", "mx1.test", now, "elsewhere", "other.test", now))
	router, err := route.New(route.Options{
		Resolver: []string{world.dns.Addr()}, Port: world.port, AllowLoopback: true,
		Policies: route.Policies{STS: true, STSStore: store},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	b := newWorkbench()
	b.Router, b.Dialer = router, SMTP{}
	b.Demand = func(key queue.Key) route.Demand {
		if key.Domain == "demanded.example" {
			return route.Demand{Floor: mail.TLSVerified}
		}
		return route.Demand{}
	}
	b.Retry = queue.RetryPolicy{First: time.Minute, Max: time.Hour}
	b.shape.Backoff = shape.Backoff{First: time.Minute, Max: time.Hour}
	for n := range 30 {
		b.store.accept(letter{tenant: "t", stream: "marketing", body: "Subject: x\r\n\r\n\r\n"},
			fmt.Sprintf("r%d@%s.example", n, []string{"strict", "elsewhere", "easy"}[n%3]))
	}
	b.store.accept(letter{tenant: "t", stream: "marketing", body: "Subject: x\r\n\r\n\r\n"}, "r@demanded.example")
	b.start(t)
	// Of those who ask for the same proof one is enough to find out.
	for b.store.counts()[event.Delivered] < 10 || b.store.counts()[event.Deferred] < 11 {
		time.Sleep(5 * time.Millisecond)
	}
	b.stop()
	if n := server.Counters().Messages; n != 10 || server.Counters().TLS == 0 {
		t.Errorf("%d messages, want those of one domain, under TLS", n)
	}
	clean(t, server)
}
