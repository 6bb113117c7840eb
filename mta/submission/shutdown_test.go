package submission

import (
	"context"
	"errors"
	"testing"
	"time"
)

// 8: shutting down ends idle connections at once and lets transactions finish.
func TestShutdown(t *testing.T) {
	f := startTrusted(t)
	idle, open, pipelined := f.greeted(0), f.greeted(0), f.greeted(0)
	open.envelope()
	pipelined.envelope()
	pipelined.say("DATA", "354")

	done := make(chan error, 1)
	go func() { done <- f.server.Shutdown(context.Background()) }()
	idle.expect("421 4.3.2")
	idle.closed()
	open.say("RCPT TO:<more@example.net>", "250")
	open.say("DATA", "354")
	open.send(simple + "\r\n.\r\n")
	open.expect("250 2.0.0 queued")
	open.expect("421 4.3.2")
	open.closed()
	pipelined.send(simple + "\r\n.\r\n")
	pipelined.expect("250 2.0.0 queued")
	pipelined.expect("421 4.3.2")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := f.server.Serve(context.Background()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := f.server.Listen(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestShutdownRunsOutOfTime(t *testing.T) {
	f := startTrusted(t)
	stuck := f.greeted(0)
	stuck.envelope()
	stuck.say("DATA", "354")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	stuck.closed()
	if f.store.count() != 0 {
		t.Error("accepted")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	server, err := New(Options{Hostname: "mx.test", Store: &memory{}, Accounts: accounts(), Listeners: []Listener{trusted()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx) }()
	f := &fixture{t: t, server: server}
	c := f.greeted(0)
	c.envelope()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.closed()
}

// The 250 waits for the store.
func TestReplyWaitsForTheStore(t *testing.T) {
	o := options(trusted())
	store := &memory{hold: make(chan struct{}), entered: make(chan struct{}, 1)}
	o.Store = store
	f := start(t, o)
	c := f.greeted(0)
	c.envelope()
	c.say("DATA", "354")
	c.send(simple + "\r\n.\r\n")
	<-store.entered
	c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := c.r.Peek(1); err == nil {
		t.Fatal("answered before the store did")
	}
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	close(store.hold)
	c.expect("250 2.0.0 queued")
}

// What is between two chunks is a transaction too.
func TestShutdownBetweenChunks(t *testing.T) {
	f := startTrusted(t)
	c := f.greeted(0)
	c.envelope()
	c.send("BDAT 6\r\nFrom: ")
	c.expect("250")
	done := make(chan error, 1)
	go func() { done <- f.server.Shutdown(context.Background()) }()
	eventually(t, "draining", func() bool {
		f.server.mu.Lock()
		defer f.server.mu.Unlock()
		return f.server.closed
	})
	c.send("BDAT 18 LAST\r\nsender@example.com")
	c.expect("250 2.0.0 queued")
	c.expect("421 4.3.2")
	c.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
