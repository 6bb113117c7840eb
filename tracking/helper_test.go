package tracking_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// store stands for what the daemon has behind the tracker.
type store struct {
	mutex   sync.Mutex
	events  []event.Event
	batches int
	left    []string
	// fail makes every call fail; block holds Record up until it is closed.
	fail  error
	block chan struct{}
}

func (s *store) Record(ctx context.Context, events []event.Event) error {
	s.mutex.Lock()
	block := s.block
	s.mutex.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.batches++
	if s.fail != nil {
		return s.fail
	}
	s.events = append(s.events, events...)
	return nil
}

func (s *store) Unsubscribe(_ context.Context, tenant, stream string, address mail.Address, message string, index int) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.left = append(s.left, tenant+"/"+stream+"/"+address.String()+"/"+message)
	return nil
}

func (s *store) setFail(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.fail = err
}

func (s *store) recorded() []event.Event {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.events)
}

func (s *store) leavers() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.left)
}

var errDisk = errors.New("disk is full")

func keyring(t testing.TB) *token.Keyring {
	t.Helper()
	key, err := token.MakeKey(bytes.Repeat([]byte{7}, token.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewKeyring(0, map[token.ID]token.Key{0: key})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func links(t testing.TB, base string) tracking.Links {
	t.Helper()
	l, err := tracking.NewLinks(base, keyring(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func message() [12]byte { return [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} }

func address(t testing.TB) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress("jane@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// must unwraps a URL.
func must(t testing.TB) func(string, error) string {
	return func(url string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
}

func newTracker(t testing.TB, s *store, change func(*tracking.Options)) *tracking.Tracker {
	t.Helper()
	o := tracking.Options{
		Keys: keyring(t), Recorder: s, Unsubscriber: s,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Window: time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	tracker, err := tracking.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

// site is a tracker on a real socket.
type site struct {
	*store
	tracker *tracking.Tracker
	links   tracking.Links
	base    string
	client  *http.Client
	stop    func() error
}

func start(t *testing.T) *site {
	t.Helper()
	return startWith(t, nil)
}

func startWith(t *testing.T, change func(*tracking.Options)) *site {
	t.Helper()
	s := &store{}
	tracker := newTracker(t, s, change)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- tracker.Serve(listener) }()
	transport := &http.Transport{}
	stop := sync.OnceValue(func() error {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return errors.Join(tracker.Shutdown(ctx), <-served)
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	base := "http://" + listener.Addr().String()
	return &site{
		store: s, tracker: tracker, links: links(t, base), base: base, stop: stop,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

type response struct {
	*http.Response
	body string
}

func (s *site) do(t *testing.T, method, url, contentType, body string) response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", firefox)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{answer, string(content)}
}

// events stops the site and returns what was recorded.
func (s *site) events(t *testing.T) []event.Event {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	return s.recorded()
}
