package powerfail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

const (
	// applications hand in mail at once, and readers look at it.
	applications = 4
	readers      = 2
	// eventsPath is where the events are read.
	eventsPath = "/v1/events"
	// settling is how long the daemon is left alone before it is stopped.
	settling = 300 * time.Millisecond
)

// load is everybody who has to do with one daemon.
type load struct {
	world   *world
	service *Service
	// submission and tracker are addresses, socket is the operator's.
	submission, tracker, socket string
}

// run returns when everything that was handed in has come to an end, but for
// what is to wait.
func (l *load) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := &operator{load: l, client: socketClient(l.socket)}
	defer o.client.CloseIdleConnections()
	if err := o.park(ctx); err != nil {
		return err
	}
	var busy, idle tasks
	idle.start(func() error { return l.follow(ctx) })
	for n := range readers {
		idle.start(func() error { return l.read(ctx, l.random(100+n)) })
	}
	for n := range applications {
		busy.start(func() error { return l.apply(ctx, n) })
	}
	busy.start(func() error { return o.work(ctx) })
	err := busy.wait()
	if err == nil {
		err = l.settled(ctx)
	}
	if err == nil {
		pause(ctx, settling)
	}
	cancel()
	return errors.Join(err, idle.wait())
}

// tasks run beside each other.
type tasks struct {
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

func (t *tasks) start(do func() error) {
	t.group.Go(func() {
		err := do()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.errs = append(t.errs, err)
	})
}

func (t *tasks) wait() error {
	t.group.Wait()
	return errors.Join(t.errs...)
}

func (l *load) random(n int) *rand.Rand { return rand.New(rand.NewPCG(l.world.seed, uint64(n))) }

// settled waits for the end of what does not wait.
func (l *load) settled(ctx context.Context) error {
	return l.await(ctx, "an end of everything", func() bool {
		_, open := l.world.ended()
		return open == 0
	})
}

func (l *load) await(ctx context.Context, what string, condition func() bool) error {
	for deadline := time.Now().Add(patience); !condition(); pause(ctx, 5*time.Millisecond) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			ended, open := l.world.ended()
			return fmt.Errorf("waited in vain for %s: %d recipients ended, %d open", what, ended, open)
		}
	}
	return nil
}

// apply hands in letters.
func (l *load) apply(ctx context.Context, n int) error {
	a, err := l.world.connect(ctx, l.submission)
	if err != nil {
		return err
	}
	defer a.conn.Close()
	r := l.random(n)
	for i := range l.service.Messages / applications {
		if _, err := a.hand(randomLetter(r, fmt.Sprintf("%d.%d.%d", l.world.seed, n, i))); err != nil {
			return fmt.Errorf("application %d, letter %d: %w", n, i, err)
		}
	}
	return nil
}

// follow reads events for as long as there are any. It asks in HTTP/1.0, so
// that they come as they are.
func (l *load) follow(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", l.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintf(conn, "GET %s?after=0&follow=true HTTP/1.0\r\nHost: postrider\r\n\r\n", eventsPath); err != nil {
		return err
	}
	for lines := bufio.NewReaderSize(conn, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the events broke off: %w", err)
		}
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var r api.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		l.world.remember(&r.Event)
	}
}

// read opens letters, clicks in them, and leaves.
func (l *load) read(ctx context.Context, r *rand.Rand) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-l.world.arrived:
			if err := l.look(ctx, client, r.IntN(12), a); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (l *load) look(ctx context.Context, client *http.Client, mood int, a arrival) error {
	if strings.HasPrefix(a.reader, operatorPrefix) {
		mood = 1 // the operator waits for the click
	}
	switch {
	case a.leave != "" && mood == 0:
		address, err := mail.ParseAddress(a.reader)
		if err != nil {
			return err
		}
		w := word{Kind: wordLeave, Tenant: tenant, Stream: "marketing", Address: address}
		_, err = request{client: client, method: http.MethodPost, url: a.leave, contentType: "application/x-www-form-urlencoded", body: []byte("List-Unsubscribe=One-Click")}.do(ctx, l.world, ask{word: w})
		return err
	case a.click != "" && mood < 4:
		return l.visit(ctx, client, a, a.click, event.Clicked)
	case a.open != "" && mood < 7:
		return l.visit(ctx, client, a, a.open, event.Opened)
	}
	return nil
}

func (l *load) visit(ctx context.Context, client *http.Client, a arrival, url string, kind event.Type) error {
	w := word{Kind: wordRead, Events: []event.Event{{Type: kind, Index: l.world.place(a)}}}
	_, err := request{client: client, method: http.MethodGet, url: url}.do(ctx, l.world, ask{word: w, about: a.number})
	return err
}

// place is the index of a reader in a letter.
func (w *world) place(a arrival) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range w.asks[a.number].Recipients {
		if r.Address.String() == a.reader {
			return i
		}
	}
	return -1
}

// request is one over HTTP.
type request struct {
	client                   *http.Client
	method, url, contentType string
	body                     []byte
}

// do sends it under the number of what is asked, and returns the answer's body.
func (q request) do(ctx context.Context, w *world, a ask) ([]byte, error) {
	_, answer, err := q.doNumbered(ctx, w, a)
	return answer, err
}

func (q request) doNumbered(ctx context.Context, w *world, a ask) (number int, answer []byte, err error) {
	sent, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return 0, nil, err
	}
	number = w.ask(a)
	sent.Header.Set(mark[:len(mark)-len(": ")], strconv.Itoa(number))
	if q.contentType != "" {
		sent.Header.Set("Content-Type", q.contentType)
	}
	response, err := q.client.Do(sent)
	if err != nil {
		return number, nil, err
	}
	answer, err = io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode/100 != 2 && response.StatusCode/100 != 3 {
		err = fmt.Errorf("%s %s: %s: %s", q.method, a.Kind, response.Status, answer)
	}
	return number, answer, err
}
