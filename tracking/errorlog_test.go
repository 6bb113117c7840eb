package tracking_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/postrider-mta/postrider/tracking"
)

type lockedLog struct {
	mutex sync.Mutex
	text  bytes.Buffer
	news  chan struct{}
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

// TestNoAddressIsLogged proves over a real socket, with a handshake that fails,
// that what net/http says of a connection is logged without its address.
func TestNoAddressIsLogged(t *testing.T) {
	log := &lockedLog{news: make(chan struct{}, 1)}
	s := startWith(t, func(o *tracking.Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errDisk }}
	})
	c, err := net.Dial("tcp", s.base[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := tls.Client(c, &tls.Config{ServerName: "t.example"}).Handshake(); err == nil {
		t.Error("a handshake without a certificate")
	}
	<-log.news
	s.tracker.ErrorLog().Println("http: panic serving", "[2001:db8::1%eth0]:99:", "192.0.2.1:99")
	log.mutex.Lock()
	defer log.mutex.Unlock()
	text := log.text.String()
	if !strings.Contains(text, "TLS handshake error from a reader: disk is full") || !strings.Contains(text, "level=ERROR") ||
		strings.Contains(text, "127.0.0.1") || strings.Contains(text, "192.0.2.1") || strings.Contains(text, "2001:") {
		t.Errorf("the log says\n%s", text)
	}
}
