package daemon

import (
	"reflect"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/window"
	"github.com/postrider-mta/postrider/mta/submission/password"
	"github.com/postrider-mta/postrider/queue"
)

func withAccounts(hashFile string) string {
	return `
hostname = "mail.example.com"
[queue]
max_age = "2d"
[tracking]
listen = "127.0.0.1:0"
url = "https://t.example.com"
[[tenant]]
name = "shop"
dkim_domain = "Shop.Example"
hide_client = true
default_stream = "digest"
[[tenant.stream]]
name = "digest"
track = "clicks"
unsubscribe = true
max_age = "1h"
weight = 3
[[tenant]]
name = "other"
tracking_url = "https://other.example.com"
[[dkim]]
domain = "shop.example"
selector = "s"
key = "k.pem"
[[credential]]
username = "app"
tenant = "shop"
password_hash_file = "` + hashFile + `"
from_domains = ["shop.example", "BÜCHER.example"]
`
}

// TestAccounts proves that the directory says what the file says.
func TestAccounts(t *testing.T) {
	s := newSite(t, withAccounts("app.hash"))
	s.write("k.pem", "only its name matters here")
	hash := password.Hash("secret")
	s.write("app.hash", hash+"\n")
	snapshot, err := readAccounts(s.config())
	if err != nil {
		t.Fatal(err)
	}
	var a accounts
	a.current.Store(snapshot)
	shop, ok := a.Tenant("shop")
	if !ok || shop.DKIMDomain != "shop.example" || !shop.HideClient || shop.DefaultStream != "digest" || shop.TrackingURL != "https://t.example.com" {
		t.Errorf("%+v", shop)
	}
	digest := account.Stream{Name: "digest", Track: account.TrackClicks, Measure: account.MeasureIndividual, Unsubscribe: true, MaxAge: time.Hour, Weight: 3, VERP: true, Rates: account.RateRules{Action: "hold"}}
	if got := shop.Streams["digest"]; !got.Windows.Opens(time.Now()).IsZero() {
		t.Errorf("a stream without windows opens %v", got.Windows.Opens(time.Now()))
	} else if got.Windows = (window.Windows{}); !reflect.DeepEqual(got, digest) {
		t.Errorf("%+v", shop.Streams["digest"])
	}
	if age := shop.Streams[account.Marketing].MaxAge; age != 48*time.Hour {
		t.Errorf("a stream without its own max_age has %v", age)
	}
	if other, _ := a.Tenant("other"); other.TrackingURL != "https://other.example.com" || other.DKIMDomain != "" {
		t.Errorf("%+v", other)
	}
	app, ok := a.Credential("app")
	if !ok || app.Tenant != "shop" || app.PasswordHash != hash || !app.MaySend("xn--bcher-kva.example") || app.MaySend(mail.Domain("example.com")) {
		t.Errorf("%+v", app)
	}
	if _, ok := a.Tenant("nobody"); ok {
		t.Error("knows a tenant that is not there")
	}
	if _, ok := a.Credential("nobody"); ok {
		t.Error("knows a credential that is not there")
	}
	for name, want := range map[string]int{"digest": 3, account.Transactional: 4, account.Marketing: 1, "gone": 1} {
		if got := a.weight("shop", name); got != want {
			t.Errorf("weight of %s is %d, not %d", name, got, want)
		}
	}
	if got := a.weight("gone", "digest"); got != 1 {
		t.Errorf("weight of a tenant who is gone is %d", got)
	}
}

// TestAccountErrors proves that an error names whom it is about.
func TestAccountErrors(t *testing.T) {
	s := newSite(t, withAccounts("app.hash"))
	s.write("k.pem", "only its name matters here")
	s.write("app.hash", password.Hash("secret"))
	c := s.config()
	c.Credentials[0].PasswordHashFile = "missing"
	_, err := readAccounts(c)
	contains(t, err, "credential app: open missing")
	c.Tenants[0].DKIMDomain = "not a domain"
	_, err = readAccounts(c)
	contains(t, err, "tenant shop: ")
}

// TestQuotasAndWindows proves that the directory has the quotas and that the
// queue is told when a stream's mail may leave.
func TestQuotasAndWindows(t *testing.T) {
	s := newSite(t, `
hostname = "mail.example.com"
[[tenant]]
name = "shop"
max_messages = 10
max_bytes = "1MB"
max_per_hour = 100
windows = "Mon-Fri 08:00-20:00"
time_zone = "Europe/Berlin"
[[tenant.stream]]
name = "transactional"
windows = []
`)
	snapshot, err := readAccounts(s.config())
	if err != nil {
		t.Fatal(err)
	}
	var a accounts
	a.current.Store(snapshot)
	shop, _ := a.Tenant("shop")
	if want := (account.Quota{Messages: 10, Bytes: 1_000_000, PerHour: 100}); shop.Quota != want {
		t.Errorf("quota %+v", shop.Quota)
	}
	sunday := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	for stream, want := range map[string]time.Time{
		account.Marketing: sunday.Add(18 * time.Hour), account.Transactional: {}, "gone": {},
	} {
		if got := a.opens(queue.Key{Tenant: "shop", Stream: stream}, sunday); !got.Equal(want) {
			t.Errorf("%s opens %v, want %v", stream, got, want)
		}
	}
}
