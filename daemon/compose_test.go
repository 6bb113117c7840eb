package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/shape"
	"github.com/postrider-mta/postrider/queue"
)

// TestSendRefuses proves that what is wrong with a message is the sender's
// error, and told.
func TestSendRefuses(t *testing.T) {
	d, _ := newSite(t, basic+"[[tenant]]\nname = \"one\"\n[[tenant]]\nname = \"two\"\n").started()
	good := api.SendRequest{Tenant: "one", From: "a@example.com", To: []string{"b@example.net"}, Message: []byte(letter)}
	for want, change := range map[string]func(*api.SendRequest){
		"more than one tenant": func(r *api.SendRequest) { r.Tenant = "" },
		`no tenant "three"`:    func(r *api.SendRequest) { r.Tenant = "three" },
		"from: ":               func(r *api.SendRequest) { r.From = "nobody" },
		"to: ":                 func(r *api.SendRequest) { r.To = []string{"nobody"} },
		"no recipient":         func(r *api.SendRequest) { r.To = nil },
	} {
		request := good
		change(&request)
		id, err := d.send(context.Background(), request)
		var failure *api.Error
		if !errors.As(err, &failure) || failure.Status != 422 || id != "" {
			t.Errorf("%s: %q, %v", want, id, err)
		}
		contains(t, err, want)
	}
	if n := d.store.Stats().Messages; n != 0 {
		t.Errorf("%d messages were taken", n)
	}
	if id, err := d.send(context.Background(), good); err != nil || len(id) != 20 {
		t.Errorf("%q, %v", id, err)
	}
}

// TestLimits proves that a site's limits reach the shaper.
func TestLimits(t *testing.T) {
	s := newSite(t, basic+"[delivery]\nconnections_per_site = 7\n[[site]]\nmatch = \"example.net\"\nconnections = 3\nmessages_per_connection = 9\n")
	got := limits(s.config(), nil, bounce.New())
	if got.Default.Connections != 7 {
		t.Errorf("%+v", got.Default)
	}
	if site := got.Sites["example.net"]; site.Connections != 3 || site.MessagesPerConnection != 9 {
		t.Errorf("%+v", site)
	}
}

// TestRouterFamilies proves that a family that is turned off is not used.
func TestRouterFamilies(t *testing.T) {
	dns, err := testmx.StartDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	if err := dns.Add("both.example. 60 IN A 192.0.2.1", "both.example. 60 IN AAAA 2001:db8::1"); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"": "[192.0.2.1:25 [2001:db8::1]:25]", "ipv4 = false": "[[2001:db8::1]:25]", "ipv6 = false": "[192.0.2.1:25]",
	} {
		s := newSite(t, basic+"[delivery]\nresolvers = \""+dns.Addr()+"\"\n"+setting+"\n")
		r, err := newRouter(s.config(), nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		route, err := r.Route(context.Background(), "both.example")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(route.Hosts[0].Addrs); got != want {
			t.Errorf("%q: %s", setting, got)
		}
		r.Close()
	}
}

// TestLoadSigner proves that the keys of the file sign.
func TestLoadSigner(t *testing.T) {
	s := newSite(t, basic+"[[dkim]]\ndomain = \"shop.example\"\nselector = \"s\"\nkey = \"k.pem\"\n")
	if _, err := offline.GenerateKey("shop.example", "s", "ed25519", s.path("k.pem")); err != nil {
		t.Fatal(err)
	}
	signer, err := loadSigner(s.config(), discard())
	if err != nil {
		t.Fatal(err)
	}
	if fields, err := signer.Sign(context.Background(), "shop.example", "", []byte(letter)); err != nil || len(fields) == 0 {
		t.Errorf("%q, %v", fields, err)
	}
}

func TestPresentThrottle(t *testing.T) {
	until := time.Unix(1, 0)
	with := presentThrottle(shape.Throttle{Name: "n", Reason: "r", Until: until, Cause: mail.Reply{Code: 421}})
	if with.Name != "n" || with.Reason != "r" || with.Until != until || with.Cause == nil || with.Cause.Code != 421 {
		t.Errorf("%+v", with)
	}
	if without := presentThrottle(shape.Throttle{Name: "n"}); without.Cause != nil {
		t.Errorf("%+v", without)
	}
}

func TestFigures(t *testing.T) {
	if fault(queue.Stats{}) != 0 || fault(queue.Stats{Fault: queue.ErrFull}) != 1 {
		t.Error("fault")
	}
	if orNone(time.Duration(0)) != -1 || orNone(int64(5)) != 5 {
		t.Error("none")
	}
}
