package daemon

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/daemon/offline"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce/verp"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/tracking/token"
)

// heard is a tenant whose mail comes back.
func heard(url string, verped bool) account.Tenant {
	t := shop(url)
	t.BounceDomain = "bounce.shop.example"
	for name, s := range t.Streams {
		s.VERP = verped
		t.Streams[name] = s
	}
	return t
}

func returned(t *testing.T, a *accounts) *returning {
	t.Helper()
	inner, _ := rendered(t, a)
	r := &returning{
		Renderer: inner, accounts: a, codec: verp.New(returnKeys{inner.keys}), sender: func() string { return "postrider" },
		logger: discard(), failures: inner.failures,
	}
	inner.unsubscribeAddress = r.unsubscribeAddress
	return r
}

// TestReturning: who gets a return path and which fields, and that whoever
// shares a transaction gets the same bytes.
func TestReturning(t *testing.T) {
	const url = "https://t.example.com"
	bounce := owed(t, "shop", account.Transactional, account.TrackNone)
	bounce.Message.Envelope.From = mail.Address{}
	for name, test := range map[string]struct {
		tenant   account.Tenant
		delivery *queue.Delivery
		// has are path, Feedback-ID, CFBL-Address and mailto.
		has string
	}{
		"all":                {heard(url, true), owed(t, "shop", account.Marketing, account.TrackAll), "path id cfbl mailto"},
		"nothing measured":   {heard(url, true), owed(t, "shop", account.Transactional, account.TrackNone), "path id cfbl"},
		"no tracker":         {heard("", true), owed(t, "shop", account.Marketing, account.TrackAll), "path id cfbl mailto"},
		"opted out":          {heard(url, false), owed(t, "shop", account.Transactional, account.TrackNone), "id"},
		"opted out, tracked": {heard(url, false), owed(t, "shop", account.Marketing, account.TrackAll), "id cfbl mailto"},
		"null sender":        {heard(url, true), bounce, ""},
		"no domain":          {shop(url), owed(t, "shop", account.Transactional, account.TrackNone), ""},
		"tenant gone":        {heard(url, true), owed(t, "gone", account.Transactional, account.TrackNone), ""},
		"stream gone":        {heard(url, true), owed(t, "shop", "gone", account.TrackNone), ""},
	} {
		r := returned(t, tenants(test.tenant))
		got, err := r.Render(context.Background(), test.delivery, []byte(letter))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var has []string
		for _, what := range []struct {
			name string
			ok   bool
		}{
			{"path", !got.ReturnPath.IsZero()},
			{"id", bytes.Contains(got.Message, []byte("Feedback-ID: :"+test.delivery.Message.Stream+":shop:postrider\r\n"))},
			{"cfbl", bytes.Contains(got.Message, []byte("\nCFBL-Address:\r\n c-")) && bytes.Contains(got.Message, []byte("\nCFBL-Feedback-ID: c-"))},
			{"mailto", bytes.Contains(got.Message, []byte("<mailto:u-"))},
		} {
			if what.ok {
				has = append(has, what.name)
			}
		}
		if strings.Join(has, " ") != test.has {
			t.Errorf("%s: %q instead of %q:\n%s", name, has, test.has, got.Message)
		}
		if shared := r.Shared(test.delivery.Message); shared == got.Personal || shared && strings.ContainsAny(test.has, "pcm") {
			t.Errorf("%s: shared %v, personal %v", name, shared, got.Personal)
		}
		if !bytes.HasSuffix(got.Message, []byte("</body></html>\r\n")) {
			t.Errorf("%s: the body has gone:\n%s", name, got.Message)
		}
	}
}

// TestReturnTokens: every token in a message opens as its recipient's, and no
// token of another purpose does.
func TestReturnTokens(t *testing.T) {
	r := returned(t, tenants(heard("https://t.example.com", true)))
	d := owed(t, "shop", account.Marketing, account.TrackAll)
	d.Index = 300
	got, err := r.Render(context.Background(), d, []byte(letter))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`\b([bcu])-[a-z2-7]{40,}`).FindAllString(string(got.Message)+" "+got.ReturnPath.String(), -1)
	if len(found) != 4 || got.ReturnPath.Domain() != "bounce.shop.example" {
		t.Errorf("tokens %q, path %v", found, got.ReturnPath)
	}
	for _, text := range found {
		kind, id, err := r.codec.Decode(text)
		if err != nil || byte(kind) != text[0] || id.Message != [12]byte(d.Message.ID) || id.Index != 300 || id.Tenant != verp.TenantNumber("shop") {
			t.Errorf("%s: %v %+v, %v", text, kind, id, err)
		}
	}
}

// TestReturningKeepsTheAuthors: fields that the author set stand.
func TestReturningKeepsTheAuthors(t *testing.T) {
	r := returned(t, tenants(heard("", true)))
	d := owed(t, "shop", account.Marketing, account.TrackNone)
	const own = "feedback-id: a:b:c:senders\r\nCFBL-Address: fbl@shop.example\r\nList-Unsubscribe: <https://shop.example/leave>\r\n"
	got, err := r.Render(context.Background(), d, []byte(own+letter))
	if err != nil || string(got.Message) != own+letter {
		t.Errorf("%v\n%s", err, got.Message)
	}
}

// TestReturningFails: what nothing can be added to goes out without, and is
// counted.
func TestReturningFails(t *testing.T) {
	r := returned(t, tenants(heard("", true)))
	d := owed(t, "shop", account.Transactional, account.TrackNone)
	const broken = "no header at all\r\n"
	got, err := r.Render(context.Background(), d, []byte(broken))
	if err != nil || string(got.Message) != broken || got.ReturnPath.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	r.codec = verp.New(noKeys{})
	if got, err = r.Render(context.Background(), d, []byte(letter)); err != nil || !got.ReturnPath.IsZero() || string(got.Message) != letter {
		t.Errorf("%+v, %v", got, err)
	}
	if n := testutil.ToFloat64(r.failures.WithLabelValues("feedback")); n != 2 {
		t.Errorf("%v counted", n)
	}
	if n := testutil.ToFloat64(r.failures.WithLabelValues("return_path")); n != 1 {
		t.Errorf("%v counted", n)
	}
}

type noKeys struct{}

func (noKeys) Active() uint8                    { return 1 }
func (noKeys) MAC(uint8, []byte) ([]byte, bool) { return nil, false }

// TestReturnKeysRotate: what was sent before a rotation is known after it, as
// long as its key is kept.
func TestReturnKeysRotate(t *testing.T) {
	old, fresh := token.Generate(), token.Generate()
	ring, err := token.NewKeyring(0, map[token.ID]token.Key{0: old})
	if err != nil {
		t.Fatal(err)
	}
	codec := verp.New(returnKeys{ring})
	id := verp.ID{Index: 1}
	before, err := codec.Encode(verp.Bounce, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, held := range []map[token.ID]token.Key{{0: old, 1: fresh}, {1: fresh}} {
		next, err := token.NewKeyring(1, held)
		if err != nil {
			t.Fatal(err)
		}
		ring.Replace(next)
		after, err := codec.Encode(verp.Bounce, id)
		if err != nil || after == before {
			t.Errorf("%s, %v", after, err)
		}
		if _, _, err := codec.Decode(before); (err == nil) != (len(held) == 2) {
			t.Errorf("with %d keys: %v", len(held), err)
		}
	}
}

// TestSignsNoStranger: mail on its way to the postmaster is not signed, whoever
// it says it is from.
func TestSignsNoStranger(t *testing.T) {
	s := newSite(t, basic+"[[tenant]]\nname = \"shop\"\ndkim_domain = \"shop.example\"\n"+
		"[[dkim]]\ndomain = \"shop.example\"\nselector = \"s\"\nkey = \"k.pem\"\n")
	if _, err := offline.GenerateKey("shop.example", "s", "ed25519", s.path("k.pem")); err != nil {
		t.Fatal(err)
	}
	d, _ := s.started()
	if fields, err := d.signer.Sign(context.Background(), "shop", "elsewhere.example", []byte(letter)); err != nil || len(fields) == 0 {
		t.Errorf("%q, %v", fields, err)
	}
	if fields, err := d.signer.Sign(context.Background(), "shop", "", []byte(letter)); err != nil || fields != nil {
		t.Errorf("%q, %v", fields, err)
	}
}
