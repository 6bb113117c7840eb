package delivery

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// internet is a name server and mail exchangers on loopback addresses that
// share a port.
type internet struct {
	t    *testing.T
	dns  *testmx.DNS
	port uint16
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dns.Close() })
	return &internet{t: t, dns: dns}
}

// exchanger starts a mail exchanger on 127.0.0.n, named mxN.test.
func (i *internet) exchanger(n int, o testmx.Options) *testmx.Server {
	i.t.Helper()
	o.Addr = fmt.Sprintf("127.0.0.%d:%d", n, i.port)
	server, addr := testmx.Start(i.t, o)
	i.port = addr.Port()
	i.name(n)
	return server
}

// name gives 127.0.0.n its name, whether or not something listens there.
func (i *internet) name(n int) {
	i.record(fmt.Sprintf("mx%d.test. 60 IN A 127.0.0.%d", n, n))
}

func (i *internet) record(records ...string) {
	i.t.Helper()
	if err := i.dns.Add(records...); err != nil {
		i.t.Fatal(err)
	}
}

// start runs an engine with the real router and client.
func (i *internet) start(b *workbench) {
	i.t.Helper()
	router, err := route.New(route.Options{Resolver: []string{i.dns.Addr()}, Port: i.port, AllowLoopback: true})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(router.Close)
	b.Router, b.Dialer = router, SMTP{}
	b.Retry = queue.RetryPolicy{First: 20 * time.Millisecond, Max: 100 * time.Millisecond}
	b.shape.Backoff = shape.Backoff{First: 10 * time.Millisecond, Max: 50 * time.Millisecond}
	b.start(i.t)
}

// settled waits until nothing is owed.
func (b *workbench) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for b.store.left() > 0 {
		if !sleep(ctx, 5*time.Millisecond) {
			t.Fatalf("%d recipients are still owed: %v\n%+v", b.store.left(), b.store.counts(), b.engine.Sites())
		}
	}
}

func clean(t *testing.T, servers ...*testmx.Server) {
	t.Helper()
	for _, s := range servers {
		for _, v := range s.Violations() {
			t.Error(v)
		}
	}
}

func TestWireDelivers(t *testing.T) {
	world := newInternet(t)
	first := world.exchanger(1, testmx.Options{})
	second := world.exchanger(2, testmx.Options{})
	world.record("a.example. 60 IN MX 10 mx1.test.", "b.example. 60 IN MX 10 mx1.test.", "c.example. 60 IN MX 10 mx2.test.")
	b := newWorkbench()
	registry := prometheus.NewRegistry()
	b.Metrics = registry
	b.stages.sign = func([]byte) ([]byte, error) { return []byte("X-Signed: yes\r\n"), nil }
	for n := range 300 {
		b.store.accept(letter{tenant: "t", stream: "marketing", body: "Subject: x\r\n\r\n.dot\r\n"},
			fmt.Sprintf("r%d@%s.example", n, []string{"a", "b", "c"}[n%3]))
	}
	world.start(b)
	b.settled(t)
	b.stop()
	wantCounts(t, b, map[event.Type]int{event.Delivered: 300})
	clean(t, first, second)
	if n := first.Counters().Messages; n != 200 {
		t.Errorf("%d messages at the first exchanger", n)
	}
	if got := string(second.Messages()[0].Data); got != "X-Signed: yes\r\nSubject: x\r\n\r\n.dot\r\n" {
		t.Errorf("sent %q", got)
	}
	if n := testutil.ToFloat64(b.engine.metrics.outcomes.WithLabelValues("delivered")); n != 300 {
		t.Errorf("metrics count %v", n)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestWireOneTransactionForAll(t *testing.T) {
	world := newInternet(t)
	server := world.exchanger(1, testmx.Options{Without: testmx.Extensions{EightBitMIME: true}})
	world.record("a.example. 60 IN MX 10 mx1.test.")
	b := newWorkbench()
	b.stages.shared = true
	b.Encode7Bit = func(m []byte) ([]byte, error) { return bytes.ReplaceAll(m, []byte("ü"), []byte("=C3=BC")), nil }
	b.store.accept(letter{body: "Subject: x\r\n\r\nünder\r\n"}, addresses(100, "a.example")...)
	world.start(b)
	b.settled(t)
	b.stop()
	clean(t, server)
	messages := server.Messages()
	if len(messages) != 1 || len(messages[0].Recipients) != 100 || !strings.Contains(string(messages[0].Data), "=C3=BCnder") {
		t.Errorf("%d transactions", len(messages))
	}
}

func TestWireFailover(t *testing.T) {
	world := newInternet(t)
	server := world.exchanger(2, testmx.Options{})
	world.name(9)
	world.record("a.example. 60 IN MX 10 mx9.test.", "a.example. 60 IN MX 20 mx2.test.")
	b := newWorkbench()
	b.store.accept(letter{body: "Subject: x\r\n\r\nx\r\n"}, "r@a.example")
	world.start(b)
	b.settled(t)
	b.stop()
	clean(t, server)
	wantCounts(t, b, map[event.Type]int{event.Delivered: 1, event.Deferred: 0})
}

func TestWireBrokenTLS(t *testing.T) {
	config, _, err := testmx.SelfSigned("mx1.test")
	if err != nil {
		t.Fatal(err)
	}
	world := newInternet(t)
	server := world.exchanger(1, testmx.Options{
		TLSConfig: config,
		Rules:     []testmx.Rule{{Command: testmx.STARTTLS, Action: testmx.Action{Raw: []byte("220 go ahead\r\n")}}},
	})
	world.record("a.example. 60 IN MX 10 mx1.test.")
	b := newWorkbench()
	for range 5 {
		b.store.accept(letter{body: "Subject: x\r\n\r\nx\r\n"}, "r@a.example")
	}
	world.start(b)
	b.settled(t)
	b.stop()
	wantCounts(t, b, map[event.Type]int{event.Delivered: 5, event.Deferred: 0})
	if server.Counters().Messages != 5 {
		t.Errorf("counters %+v", server.Counters())
	}
}

// TestWireRoughSea delivers everything in the end to servers that drop
// connections, turn away, greylist and are out of order.
func TestWireRoughSea(t *testing.T) {
	rules := func(chance float64) []testmx.Rule {
		return []testmx.Rule{
			{Command: testmx.Connect, Probability: chance, Action: testmx.Action{Reply: "421 4.3.2 too busy"}},
			{Command: testmx.MAIL, Probability: chance, Action: testmx.Action{Drop: true}},
			{Command: testmx.RCPT, Times: 1, Action: testmx.Action{Reply: "451 4.7.1 greylisted"}},
			{Command: testmx.DATA, Probability: chance, Action: testmx.Action{Reply: "421 4.7.0 enough"}},
			{Command: testmx.Content, Probability: chance, Action: testmx.Action{DropAfter: 3}},
			{Command: testmx.Content, Probability: chance, Action: testmx.Action{Reply: "452 4.3.1 disk full"}},
		}
	}
	world := newInternet(t)
	first := world.exchanger(1, testmx.Options{Rules: rules(0.1), Seed: 1})
	second := world.exchanger(2, testmx.Options{Rules: rules(0.2), Seed: 2, Without: testmx.Extensions{Pipelining: true, Chunking: true}})
	world.record("a.example. 60 IN MX 10 mx1.test.", "b.example. 60 IN MX 10 mx2.test.", "b.example. 60 IN MX 20 mx1.test.")
	b := newWorkbench()
	for n := range 200 {
		b.store.accept(letter{body: "Subject: x\r\n\r\nhello\r\n"}, fmt.Sprintf("r%d@a.example", n), fmt.Sprintf("r%d@b.example", n))
	}
	world.start(b)
	b.settled(t)
	b.stop()
	clean(t, first, second)
	wantCounts(t, b, map[event.Type]int{event.Delivered: 400, event.Bounced: 0, event.Expired: 0})
	got := map[string]int{}
	for _, server := range []*testmx.Server{first, second} {
		for _, m := range server.Messages() {
			for _, r := range m.Recipients {
				got[r.Address]++
			}
		}
	}
	if len(got) != 400 {
		t.Errorf("%d recipients got their mail", len(got))
	}
}

func TestWireRefusals(t *testing.T) {
	world := newInternet(t)
	server := world.exchanger(1, testmx.Options{MaxSize: 1000, Rules: []testmx.Rule{
		{Command: testmx.RCPT, Pattern: "gone@*", Action: testmx.Action{Reply: "550 5.1.1 no such user"}},
	}})
	world.record("a.example. 60 IN MX 10 mx1.test.", "null.example. 60 IN MX 0 .")
	b := newWorkbench()
	b.stages.shared = true
	b.store.accept(letter{body: "Subject: x\r\n\r\nx\r\n"}, "here@a.example", "gone@a.example", "r@null.example", "r@nowhere.example")
	b.store.accept(letter{body: "Subject: x\r\n\r\n" + strings.Repeat("large\r\n", 300)}, "here@a.example")
	world.start(b)
	b.settled(t)
	b.stop()
	clean(t, server)
	wantCounts(t, b, map[event.Type]int{event.Delivered: 1, event.Bounced: 4})
	want := map[string]string{
		"gone@a.example": "5.1.1", "here@a.example": "5.3.4", "r@null.example": "5.1.10", "r@nowhere.example": "5.1.2",
	}
	for _, e := range b.store.of(event.Bounced) {
		if e.Reply == nil || e.Reply.Enhanced.String() != want[e.Recipient] {
			t.Errorf("%s bounced with %v", e.Recipient, e.Reply)
		}
	}
}
