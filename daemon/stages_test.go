package daemon

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking/token"
)

func address(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func owed(t *testing.T, tenant, stream string, track account.Track) *queue.Delivery {
	return &queue.Delivery{
		Message: &queue.Message{
			ID: queue.NewID(time.Now()), Tenant: tenant, Stream: stream, Track: track, Measure: account.MeasureIndividual,
			Envelope: mail.Envelope{From: address(t, "shop@shop.example")},
		},
		Recipient: mail.Recipient{Address: address(t, "reader@example.net")},
	}
}

// tenants is a directory of one tenant.
func tenants(t account.Tenant) *accounts {
	a := &accounts{}
	a.current.Store(&accountSnapshot{tenants: map[string]account.Tenant{t.Name: t}})
	return a
}

func shop(url string) account.Tenant {
	return account.Tenant{Name: "shop", TrackingURL: url, Measure: account.MeasureIndividual, Streams: map[string]account.Stream{
		account.Marketing:     {Name: account.Marketing, Measure: account.MeasureIndividual, Unsubscribe: true},
		account.Transactional: {Name: account.Transactional, Measure: account.MeasureIndividual},
	}}
}

const letter = "From: shop@shop.example\r\nTo: reader@example.net\r\nSubject: x\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><a href=\"https://shop.example/\">x</a></body></html>\r\n"

func rendered(t *testing.T, a *accounts) (*renderer, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	keys, err := token.NewKeyring(0, map[token.ID]token.Key{0: token.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRenderer(a, keys, discard(), registry)
	if err != nil {
		t.Fatal(err)
	}
	return r, registry
}

// TestRender proves what is put in, for whom, and that whoever shares a
// transaction gets what was handed in.
func TestRender(t *testing.T) {
	const url = "https://t.example.com"
	for name, test := range map[string]struct {
		tenant         account.Tenant
		delivery       *queue.Delivery
		links, headers bool
	}{
		"all":               {shop(url), owed(t, "shop", account.Marketing, account.TrackAll), true, true},
		"unsubscribe alone": {shop(url), owed(t, "shop", account.Marketing, account.TrackNone), false, true},
		"links alone":       {shop(url), owed(t, "shop", account.Transactional, account.TrackClicks), true, false},
		"nothing asked":     {shop(url), owed(t, "shop", account.Transactional, account.TrackNone), false, false},
		"no tracker":        {shop(""), owed(t, "shop", account.Marketing, account.TrackAll), false, false},
		"tenant gone":       {shop(url), owed(t, "gone", account.Marketing, account.TrackAll), false, false},
		"stream gone":       {shop(url), owed(t, "shop", "gone", account.TrackAll), false, false},
	} {
		r, _ := rendered(t, tenants(test.tenant))
		body := []byte(letter)
		got, err := r.Render(context.Background(), test.delivery, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out := got.Message
		if string(body) != letter {
			t.Errorf("%s: changed the body it was given", name)
		}
		links, headers := !bytes.Contains(out, []byte(`"https://shop.example/"`)), bytes.Contains(out, []byte("List-Unsubscribe-Post:"))
		if links != test.links || headers != test.headers {
			t.Errorf("%s: links %v, headers %v:\n%s", name, links, headers, out)
		}
		if shared := r.Shared(test.delivery.Message); shared != (string(out) == letter) || shared == got.Personal {
			t.Errorf("%s: shared %v, personal %v", name, shared, got.Personal)
		}
	}
}

// TestRenderFails proves that what cannot be rendered goes out as it is, and
// is counted.
func TestRenderFails(t *testing.T) {
	for reason, test := range map[string]struct{ url, message string }{
		"url":       {"ftp://t.example.com", letter},
		"malformed": {"https://t.example.com", "no header at all"},
	} {
		r, registry := rendered(t, tenants(shop(test.url)))
		out, err := r.Render(context.Background(), owed(t, "shop", account.Marketing, account.TrackAll), []byte(test.message))
		if err != nil || string(out.Message) != test.message {
			t.Errorf("%s: %q, %v", reason, out.Message, err)
		}
		if n, err := testutil.GatherAndCount(registry, "postrider_render_failures_total"); n != 1 || err != nil {
			t.Errorf("%s: counted %d, %v", reason, n, err)
		}
	}
}

// TestSign proves which key signs, and that what can never be signed goes out
// unsigned and is counted, while other failures wait.
func TestSign(t *testing.T) {
	key, err := dkim.GenerateKey(dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := dkim.NewSigner(dkim.Options{Keys: []dkim.Key{{Domain: "shop.example", Selector: "s", Signer: key}}})
	if err != nil {
		t.Fatal(err)
	}
	tenant := shop("")
	tenant.DKIMDomain = "shop.example"
	s := newSigner(tenants(tenant), discard(), prometheus.NewRegistry())
	s.current.Store(keys)
	for name, test := range map[string]struct {
		tenant  string
		from    mail.Domain
		message string
		signed  bool
	}{
		"own key":       {"shop", "shop.example", letter, true},
		"tenant's key":  {"shop", "elsewhere.example", letter, true},
		"no key":        {"gone", "elsewhere.example", letter, false},
		"cannot signed": {"shop", "shop.example", "no colon\r\n\r\nx", false},
	} {
		fields, err := s.Sign(context.Background(), test.tenant, test.from, []byte(test.message))
		if err != nil || bytes.HasPrefix(fields, []byte("DKIM-Signature:")) != test.signed {
			t.Errorf("%s: %q, %v", name, fields, err)
		}
	}
	if n := testutil.ToFloat64(s.unsigned); n != 1 {
		t.Errorf("counted %v", n)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if fields, err := s.Sign(ended, "shop", "shop.example", []byte(letter)); err == nil && len(fields) == 0 {
		t.Error("went out unsigned without a reason")
	}
}

// TestGate proves that a suppression drops, for its tenant and stream alone,
// and that a failing store lets nobody pass.
func TestGate(t *testing.T) {
	store, err := suppress.Open(suppress.Options{Path: filepath.Join(t.TempDir(), "suppress.db")})
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := &gate{store}, context.Background()
	reader := address(t, "reader@example.net")
	if err := (&unsubscriber{store}).Unsubscribe(ctx, "shop", account.Marketing, reader, "id", 0); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tenant, stream string
		drop           bool
	}{{"shop", account.Marketing, true}, {"shop", account.Transactional, false}, {"other", account.Marketing, false}} {
		verdict, err := g.Admit(ctx, owed(t, test.tenant, test.stream, 0))
		if err != nil || verdict.Drop != test.drop {
			t.Errorf("%+v: %+v, %v", test, verdict, err)
		}
		if test.drop && verdict.Reason != "suppressed: unsubscribed" {
			t.Errorf("reason %q", verdict.Reason)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Admit(ctx, owed(t, "shop", account.Transactional, 0)); err == nil {
		t.Error("let a recipient pass whom it could not ask about")
	}
}
