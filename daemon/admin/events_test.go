package admin_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
)

func records(n int) []event.Record {
	var all []event.Record
	for i := range n {
		all = append(all, event.Record{Position: uint64(i + 1), Event: event.Event{ID: strconv.Itoa(i), Type: event.Delivered}})
	}
	return all
}

// served answers on a unix socket as the daemon does, until stop.
func served(t *testing.T, f *fake) (client *api.Client, stop func()) {
	t.Helper()
	path := t.TempDir() + "/s"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	base, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: f.server().Control(), BaseContext: func(net.Listener) context.Context { return base }}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	stop = func() {
		cancel()
		_ = server.Shutdown(context.Background())
		<-done
		done <- nil
	}
	client = api.NewClient(path)
	t.Cleanup(func() {
		client.Close()
		stop()
	})
	return client, stop
}

// TestReadEvents proves that a reader gets all pages, from where it asked.
func TestReadEvents(t *testing.T) {
	f := &fake{records: records(5)}
	client, _ := served(t, f)
	var got []uint64
	err := client.Events(context.Background(), 1, false, func(r api.Record) error {
		got = append(got, r.Position)
		return nil
	})
	if err != nil || len(got) != 4 || got[0] != 2 || got[3] != 5 {
		t.Errorf("%v, %v", got, err)
	}
	response, _ := (&fake{records: records(5)}).ask("GET", "/v1/events?after=4&follow=false", "")
	if want := `{"position":"5","event":{"id":"4",`; !strings.HasPrefix(response.Body.String(), want) {
		t.Errorf("%s", response.Body)
	}
}

// TestReadEventsFails proves that a reader of what is not whole knows it.
func TestReadEventsFails(t *testing.T) {
	client, _ := served(t, &fake{records: records(5), err: errBroken})
	err := client.Events(context.Background(), 0, false, func(api.Record) error { return nil })
	if !errors.Is(err, api.ErrCut) {
		t.Errorf("after some: %v", err)
	}
	client, _ = served(t, &fake{err: errBroken})
	var failure *api.Error
	err = client.Events(context.Background(), 0, false, func(api.Record) error { return nil })
	if !errors.As(err, &failure) || failure.Status != 500 {
		t.Errorf("before any: %v", err)
	}
}

// TestFollow proves that a follower begins where it asked, gets each event at
// once, ends when it wants to, and learns of a stop.
func TestFollow(t *testing.T) {
	left := make(chan struct{}, 8)
	f := &fake{records: records(2), follow: func(ctx context.Context) error {
		<-ctx.Done()
		left <- struct{}{}
		return ctx.Err()
	}}
	client, stop := served(t, f)
	enough := errors.New("enough")
	err := client.Events(context.Background(), 0, true, func(api.Record) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	<-left // the daemon has noticed
	ctx, cancel := context.WithCancel(context.Background())
	err = client.Events(ctx, api.Newest, true, func(api.Record) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || f.after != 77 {
		t.Errorf("%v after %d", err, f.after)
	}
	<-left
	err = client.Events(context.Background(), 0, true, func(r api.Record) error {
		if r.Position == 2 {
			go stop()
		}
		return nil
	})
	if !errors.Is(err, api.ErrCut) {
		t.Errorf("a stop looks like the end: %v", err)
	}
	if strings.Contains(f.log.String(), "broken off") {
		t.Errorf("a stop is no fault: %s", f.log.String())
	}
}

// deadlines is an answer to a client that does not read.
type deadlines struct {
	http.ResponseWriter
	limit time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.limit = at
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) { return len(p), nil }
func (d *deadlines) WriteHeader(int)             {}
func (d *deadlines) Header() http.Header         { return http.Header{} }
func (d *deadlines) Flush()                      {}

// TestStall proves that whoever does not read is not waited for for ever.
func TestStall(t *testing.T) {
	f := &fake{records: records(1), follow: func(context.Context) error { return nil }}
	request, err := http.NewRequest("GET", "/v1/events?after=0&follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &deadlines{}
	f.server().Control().ServeHTTP(w, request)
	if left := time.Until(w.limit); left <= 0 || left > time.Minute {
		t.Errorf("a write may take %v", left)
	}
}
