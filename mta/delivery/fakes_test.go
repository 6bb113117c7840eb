package delivery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/mta/smtpclient"
	"github.com/postrider-mta/postrider/mta/source"
	"github.com/postrider-mta/postrider/queue"
)

// world is the internet of the tests: each domain is its own site with one
// host, unless routes says otherwise.
type world struct {
	mu     sync.Mutex
	routes map[mail.Domain]*route.Route
	errs   map[mail.Domain]error
	// dial, if set, may refuse.
	dial func(addr netip.AddrPort, host string, o smtpclient.Options) error
	// send, if set, answers; the session carries how many it sent before.
	send       func(s *fakeSession, t smtpclient.Transaction) ([]smtpclient.Answer, error)
	extensions smtpclient.Extensions
	// window of every session; 1 if zero.
	window     int
	oneAtATime bool
	// delay of a dial, of a message and of a goodbye.
	dialTime, sendTime, quitTime time.Duration

	open, peak, dials, transactions int
	sent                            []sentMail
	// forget what was sent.
	forget bool
	addrs  map[string]netip.AddrPort
}

// sentMail is what a server was offered.
type sentMail struct {
	at   time.Time
	host string
	t    smtpclient.Transaction
	body string
}

func newWorld() *world {
	return &world{
		routes: map[mail.Domain]*route.Route{}, errs: map[mail.Domain]error{}, addrs: map[string]netip.AddrPort{},
		extensions: smtpclient.Extensions{Pipelining: true, EightBitMIME: true},
	}
}

func (w *world) addr(host string) netip.AddrPort {
	a, ok := w.addrs[host]
	if !ok {
		n := len(w.addrs) + 1
		a = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}), 25)
		w.addrs[host] = a
	}
	return a
}

// via routes domain to a site by hosts.
func (w *world) via(domain mail.Domain, siteName string, hosts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &route.Route{Site: siteName}
	for i, h := range hosts {
		r.Hosts = append(r.Hosts, route.Host{Name: h, Preference: uint16(i), Addrs: []netip.AddrPort{w.addr(h)}})
	}
	w.routes[domain] = r
}

func (w *world) Route(_ context.Context, domain mail.Domain) (*route.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.errs[domain]; err != nil {
		return nil, err
	}
	if r, ok := w.routes[domain]; ok {
		return r, nil
	}
	host := "mx." + string(domain)
	r := &route.Route{Site: string(domain), Hosts: []route.Host{{Name: host, Addrs: []netip.AddrPort{w.addr(host)}}}}
	w.routes[domain] = r
	return r, nil
}

func (w *world) Dial(ctx context.Context, addr netip.AddrPort, host string, o smtpclient.Options) (Session, error) {
	if w.dialTime > 0 && !sleep(ctx, w.dialTime) {
		return nil, &smtpclient.Error{Command: smtpclient.Connect, Err: ctx.Err()}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	if w.dial != nil {
		if err := w.dial(addr, host, o); err != nil {
			return nil, err
		}
	}
	w.open++
	w.peak = max(w.peak, w.open)
	return newFakeSession(w, host), nil
}

var errRefused = &smtpclient.Error{Command: smtpclient.Connect, Scope: mail.ScopeSite, Err: errors.New("connection refused")}

// fakeSession answers each message after the world's time for one, in order,
// as many at once as its window allows.
type fakeSession struct {
	world   *world
	host    string
	results chan smtpclient.Result

	mu    sync.Mutex
	count int
	under int
	// last is closed when the youngest under way is answered.
	last   chan struct{}
	broken error

	closed atomic.Bool
}

func newFakeSession(w *world, host string) *fakeSession {
	answered := make(chan struct{})
	close(answered)
	return &fakeSession{world: w, host: host, last: answered, results: make(chan smtpclient.Result, 100)}
}

func (s *fakeSession) Security() smtpclient.Security { return smtpclient.Security{} }

func (s *fakeSession) Extensions() smtpclient.Extensions { return s.world.extensions }

func (s *fakeSession) Results() <-chan smtpclient.Result { return s.results }

func (s *fakeSession) Window() int { return max(s.world.window, 1) }

func (s *fakeSession) OneAtATime() bool { return s.world.oneAtATime }

func (s *fakeSession) Room(*smtpclient.Transaction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.under < s.Window()
}

func (s *fakeSession) Begin(ctx context.Context, t *smtpclient.Transaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	before, answered := s.last, make(chan struct{})
	s.last = answered
	s.under++
	if s.world.sendTime == 0 && s.Window() == 1 {
		s.mu.Unlock()
		s.answer(ctx, t)
		s.mu.Lock()
		close(answered)
		return nil
	}
	go func() { // ends by the context of the engine
		defer close(answered)
		sleep(ctx, s.world.sendTime)
		<-before
		s.answer(ctx, t)
	}()
	return nil
}

// answer makes up the result of one message.
func (s *fakeSession) answer(ctx context.Context, t *smtpclient.Transaction) {
	r := smtpclient.Result{Transaction: t}
	s.mu.Lock()
	r.Err = s.broken
	s.mu.Unlock()
	switch {
	case r.Err != nil:
		r.Again = true
	case ctx.Err() != nil:
		r.Err = &smtpclient.Error{Command: smtpclient.Final, Err: ctx.Err()}
	default:
		r.Answers, r.Err = s.send(*t)
		failed := &smtpclient.Error{}
		spoken := slices.ContainsFunc(r.Answers, func(a smtpclient.Answer) bool { return decided(a) && a.Reply.Code != 421 })
		r.Again = errors.As(r.Err, &failed) && failed.Command == smtpclient.MAIL && !spoken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = r.Err
	s.under--
	s.results <- r
}

func (s *fakeSession) send(t smtpclient.Transaction) ([]smtpclient.Answer, error) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.transactions++
	s.count++
	if !w.forget {
		w.remember(s, t)
	}
	if w.send != nil {
		return w.send(s, t)
	}
	return all(t, ok), nil
}

func (w *world) remember(s *fakeSession, t smtpclient.Transaction) {
	w.sent = append(w.sent, sentMail{time.Now(), s.host, t, string(bytes.Join(t.Message, nil))})
}

func (s *fakeSession) Quit(ctx context.Context) error {
	if s.world.quitTime > 0 {
		sleep(ctx, s.world.quitTime)
	}
	return s.Close()
}

func (s *fakeSession) Close() error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if !s.closed.Swap(true) {
		s.world.open--
	}
	return nil
}

var ok = smtpclient.Answer{Reply: mail.Reply{Code: 250, Text: "ok"}, Command: smtpclient.Final}

func answer(code int, command smtpclient.Command) smtpclient.Answer {
	return smtpclient.Answer{Reply: mail.Reply{Code: code, Text: "so it is"}, Command: command}
}

// all gives every recipient the same answer.
func all(t smtpclient.Transaction, a smtpclient.Answer) []smtpclient.Answer {
	answers := make([]smtpclient.Answer, len(t.Recipients))
	for i := range answers {
		answers[i] = a
	}
	return answers
}

// stages are gate, renderer and signer at once.
type stages struct {
	admit    func(d *queue.Delivery) (Verdict, error)
	revision atomic.Uint64
	shared   bool
	// personal overrules shared at rendering.
	personal bool
	// returnPath is each recipient's; the envelope's if nil.
	returnPath func(d *queue.Delivery) mail.Address
	render     func(d *queue.Delivery, body []byte) ([]byte, error)
	sign       func(message []byte) ([]byte, error)
}

func (s *stages) Admit(_ context.Context, d *queue.Delivery) (Verdict, error) {
	if s.admit == nil {
		return Verdict{}, nil
	}
	return s.admit(d)
}

func (s *stages) Revision() uint64 { return s.revision.Load() }

func (s *stages) Shared(*queue.Message) bool { return s.shared }

func (s *stages) Render(_ context.Context, d *queue.Delivery, body []byte) (Rendered, error) {
	if s.returnPath != nil {
		return Rendered{Message: body, Personal: true, ReturnPath: s.returnPath(d)}, nil
	}
	if s.render == nil {
		return Rendered{Message: body, Personal: s.personal}, nil
	}
	message, err := s.render(d, body)
	return Rendered{Message: message, Personal: s.personal || !s.shared}, err
}

func (s *stages) Sign(_ context.Context, _ string, _ mail.Domain, message []byte) ([]byte, error) {
	if s.sign == nil {
		return nil, nil
	}
	return s.sign(message)
}

// bench is everything an engine stands on in a test.
type workbench struct {
	store  *memory
	world  *world
	stages *stages
	shape  shape.Options
	// Options may be set before start.
	Options
	engine *Engine
	stop   func()
	cancel func()
	done   chan error
}

func newWorkbench() *workbench {
	b := &workbench{store: newMemory(), world: newWorld(), stages: &stages{}}
	b.Options = Options{
		Sources: sources(source.Source{Name: "default", EHLO: "out.example"}), Retry: queue.RetryPolicy{First: time.Minute, Factor: 2, Max: time.Hour},
		Logger: slog.New(slog.DiscardHandler),
	}
	return b
}

// start runs an engine; stop ends it and checks that no lease was lost.
func (b *workbench) start(t testing.TB) {
	t.Helper()
	b.Store = b.store
	if b.Router == nil {
		b.Router, b.Dialer = b.world, b.world
	}
	b.Gate, b.Renderer, b.Signer = b.stages, b.stages, b.stages
	b.Shaper = shape.New(b.shape)
	clear(b.store.reported) // as a store that was opened anew
	engine, err := New(b.Options)
	if err != nil {
		t.Fatal(err)
	}
	b.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.cancel, b.done = cancel, done
	go func() { done <- engine.Run(ctx) }()
	b.stop = func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		for _, fault := range b.store.faults {
			t.Error(fault)
		}
		if len(b.store.leased) > 0 {
			t.Errorf("%d recipients are still leased", len(b.store.leased))
		}
		if n := engine.inFlight.Load(); n != 0 {
			t.Errorf("%d recipients in flight", n)
		}
		if b.world.open != 0 || engine.capacity.connections() != 0 {
			t.Errorf("%d connections open, %d counted", b.world.open, engine.capacity.connections())
		}
	}
}

// sources are all in one pool, with the same weight.
func sources(all ...source.Source) *source.Set {
	pool := source.Pool{Name: "default"}
	for _, one := range all {
		pool.Members = append(pool.Members, source.Member{Source: one.Name, Weight: 1})
	}
	set, err := source.New(source.Options{Sources: all, Pools: []source.Pool{pool}})
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return set
}
