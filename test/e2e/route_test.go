package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

func TestMailFindsItsWayThroughDNS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.domain("plain.example", testmx.Options{})
	_, address := w.exchanger(testmx.Options{})
	second, spare := w.exchanger(testmx.Options{})
	w.publish(
		"fallback.example. 1 A "+address.String(),
		"null.example. 1 MX 0 .",
		"failover.example. 1 MX 10 dead.failover.example.", "dead.failover.example. 1 A "+w.host(),
		"failover.example. 1 MX 20 live.failover.example.", "live.failover.example. 1 A "+spare.String(),
		"sick.example. 1 MX 10 mx.plain.example.",
	)
	w.dns.Fault("sick.example", testmx.DNSFault{Rcode: dns.RcodeServerFailure})
	w.start(settings{})

	sick := w.hand(letter(), "reader@sick.example")
	for domain, want := range map[string]event.Type{
		"plain.example": event.Delivered, "fallback.example": event.Delivered, "failover.example": event.Delivered,
		"null.example": event.Bounced, "nowhere.example": event.Bounced,
	} {
		id := w.hand(letter(), "reader@"+domain)
		w.awaitEvent(id, event.Accepted)
		w.await(domain+" has ended", func() bool { return final(last(w.history(id)).Type) })
		if e := last(w.history(id)); e.Type != want || want == event.Bounced && e.Reason == "" {
			t.Errorf("%s: %s, %q, instead of %s", domain, e.Type, e.Reason, want)
		}
	}
	if n := len(second.Messages()); n != 1 {
		t.Errorf("%d messages at the second exchanger", n)
	}
	w.awaitEvent(sick, event.Deferred)
	before := len(live.Messages())
	w.dns.Heal("sick.example")
	w.awaitEvent(sick, event.Delivered)
	if len(live.Messages()) != before+1 {
		t.Error("healed DNS did not lead there")
	}
}

func last(history []event.Event) event.Event {
	if len(history) == 0 {
		return event.Event{}
	}
	return history[len(history)-1]
}

func TestMailGoesOverIPv6(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback here:", err)
	}
	probe.Close()
	w := newWorld(t)
	mx, _ := w.exchanger(testmx.Options{Addr: "[::1]:0"})
	w.publish("six.example. 1 MX 10 mx.six.example.", "mx.six.example. 1 AAAA ::1")
	w.start(settings{})
	w.awaitEvent(w.hand(letter(), "reader@six.example"), event.Delivered)
	if remote := mx.Messages()[0].Remote; !remote.Addr().Is6() {
		t.Errorf("came from %s", remote)
	}
}

func TestLoopbackIsNoDestinationUnlessAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("near.example", testmx.Options{})
	routed, address := w.exchanger(testmx.Options{})
	w.start(settings{strangers: true, rest: fmt.Sprintf("[[route]]\nmatch = \"routed.example\"\nvia = \"%s:%d\"\n", address, w.port)})
	id := w.hand(letter(), "reader@near.example")
	w.awaitEvent(w.hand(letter(), "reader@routed.example"), event.Delivered)
	w.await("it has failed", func() bool { return len(w.history(id)) > 1 })
	if e := w.history(id)[1]; e.Type == event.Delivered || !strings.Contains(e.Reason, "no allowed address") {
		t.Errorf("%s: %q", e.Type, e.Reason)
	}
	if len(mx.Messages()) != 0 || len(routed.Messages()) != 1 {
		t.Error("mail went where it should not")
	}
}

func TestSmartHostWantsPasswordAndTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	relay, address := w.exchanger(testmx.Options{
		Hostname: relayName, TLSConfig: suite.certificate, Accounts: map[string]string{"postrider": "relay secret"},
	})
	impostor, other := w.exchanger(testmx.Options{Hostname: "impostor.example", TLSConfig: suite.certificate})
	w.publish(relayName+". 1 A "+address.String(), "impostor.example. 1 A "+other.String())
	password := filepath.Join(w.dir, "relay")
	if err := os.WriteFile(password, []byte("relay secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	route := "[[route]]\nmatch = %q\nvia = \"%s:%d\"\ntls = \"verified\"\n"
	w.start(settings{rest: fmt.Sprintf(route+"username = \"postrider\"\npassword_file = %q\n", "*", relayName, w.port, password) +
		fmt.Sprintf(route, "wrong.example", "impostor.example", w.port)})

	wrong := w.hand(letter(), "reader@wrong.example")
	w.awaitEvent(w.hand(letter(), "reader@anywhere.example"), event.Delivered)
	m := relay.Messages()[0]
	if m.User != "postrider" || m.TLS == nil || m.TLS.ServerName != relayName {
		t.Errorf("user %q, TLS %+v", m.User, m.TLS)
	}
	w.awaitEvent(wrong, event.Deferred)
	if len(impostor.Messages()) != 0 {
		t.Error("a certificate of another name was taken for verified")
	}
	if strings.Contains(w.log(), "relay secret") {
		t.Error("the log tells the password")
	}
}

func TestDeliverySettingsReachTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secure := w.domain("secure.example", testmx.Options{TLSConfig: suite.certificate})
	plain := w.domain("plain.example", testmx.Options{})
	source := w.host()
	w.start(settings{delivery: fmt.Sprintf("tls = \"encrypted\"\nsource_ipv4 = %q\nehlo_name = \"out.sender.example\"\n", source)})
	withheld := w.hand(letter(), "reader@plain.example")
	w.awaitEvent(w.hand(letter(), "reader@secure.example"), event.Delivered)
	m := secure.Messages()[0]
	if m.Hello != "out.sender.example" || m.Remote.Addr().String() != source || m.TLS == nil {
		t.Errorf("EHLO %s from %s, TLS %v", m.Hello, m.Remote, m.TLS != nil)
	}
	w.await("it has been tried", func() bool { return len(w.history(withheld)) > 1 })
	if e := w.history(withheld)[1]; e.Type != event.Deferred || len(plain.Messages()) != 0 {
		t.Errorf("in the clear, against the setting: %s %q", e.Type, e.Reason)
	}
}

func TestTLSIsUsedWhereItIsOffered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mx := w.domain("secure.example", testmx.Options{TLSConfig: suite.certificate})
	w.start(settings{})
	w.awaitEvent(w.hand(letter(), "reader@secure.example"), event.Delivered)
	if mx.Messages()[0].TLS == nil {
		t.Error("in the clear")
	}
}
