package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/test/harness"
)

// TestTrackingDomainThatDoesNotAnswer proves that mail goes out as it was handed
// in while nobody would answer its links, that the daemon says so, and that it
// is tracked again when the domain answers.
func TestTrackingDomainThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("reader.example", testmx.Options{})
	front, err := harness.FreeAddressesAt(w.host(), 1)
	if err != nil {
		t.Fatal(err)
	}
	w.start(settings{rest: fmt.Sprintf("[[tenant]]\nname = \"default\"\ntracking_url = \"http://%s\"\n", front[0])})
	const marketing = "X-Postrider-Stream: marketing"
	w.hand(page(marketing), "a@reader.example")
	w.settled()
	sent := mx.Messages()[0].Data
	if !bytes.HasSuffix(sent, []byte(page())) || bytes.Contains(sent, []byte("List-Unsubscribe")) {
		t.Errorf("it was handed in as\n%s\nand sent as\n%s", page(), sent)
	}
	if log := w.log(); strings.Count(log, "tracking domain does not answer: mail goes out without links to it until it does") != 1 {
		t.Errorf("the log does not say so once")
	}
	if out := w.run("tracking", "domains"); !strings.Contains(out, "http://"+front[0]+"  failing") || !strings.Contains(out, "connection refused") {
		t.Errorf("the operator is told:\n%s", out)
	}
	if _, metrics := w.ask(http.MethodGet, "http://"+w.health+"/metrics", "", ""); !strings.Contains(metrics, "postrider_tracking_withheld_total{url=\"http://"+front[0]+"\"} 1\n") {
		t.Error("it is not counted")
	}

	w.front(front[0])
	w.run("reload") // which asks at once
	w.await("the domain works", func() bool { return strings.Contains(w.run("tracking", "domains"), "  working since") })
	w.hand(page(marketing), "b@reader.example")
	w.settled()
	sent = mx.Messages()[1].Data
	tracked := find(t, link, sent)
	if !strings.HasPrefix(tracked, "http://"+front[0]+"/c/") || !bytes.Contains(sent, []byte("List-Unsubscribe:")) {
		t.Errorf("still without links:\n%s", sent)
	}
	if response, _ := w.ask(http.MethodGet, tracked, "", ""); response.StatusCode != http.StatusFound {
		t.Errorf("the link leads nowhere: %s", response.Status)
	}
}

// front is a proxy at an address, before the tracker.
func (w *world) front(address string) {
	w.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		w.Fatal(err)
	}
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.tracker})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Close
	}()
	w.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}
