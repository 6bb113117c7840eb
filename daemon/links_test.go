package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/token"
)

// TestRenderUTM proves that parameters for links need no tracker, that what is
// the same for everybody may be shared, and that the stream's hosts count.
func TestRenderUTM(t *testing.T) {
	const added = `"https://shop.example/?utm_source=shop"`
	for name, test := range map[string]struct {
		url, utm string
		hosts    []mail.Domain
		track    account.Track
		want     string
		personal bool
	}{
		"no tracker":    {"", "utm_source=shop", nil, account.TrackAll, added, false},
		"untracked":     {"https://t.example.com", "utm_source=shop", nil, account.TrackNone, added, false},
		"its host":      {"", "utm_source=shop", []mail.Domain{"example"}, account.TrackNone, added, false},
		"other hosts":   {"", "utm_source=shop", []mail.Domain{"other.example"}, account.TrackNone, `"https://shop.example/"`, false},
		"not asked for": {"", "", nil, account.TrackNone, `"https://shop.example/"`, false},
		"broken":        {"", "%zz", nil, account.TrackNone, `"https://shop.example/"`, false},
		"and tracked":   {"https://t.example.com", "utm_source=shop", nil, account.TrackClicks, `"https://t.example.com/c/`, true},
	} {
		tenant := shop(test.url)
		stream := tenant.Streams[account.Transactional]
		stream.UTMHosts = test.hosts
		tenant.Streams[account.Transactional] = stream
		d := owed(t, "shop", account.Transactional, test.track)
		d.Message.UTM = test.utm
		r, _ := rendered(t, tenants(tenant))
		got, err := r.Render(context.Background(), d, []byte(letter))
		if err != nil || !strings.Contains(string(got.Message), test.want) || got.Personal != test.personal || r.Shared(d.Message) == test.personal {
			t.Errorf("%s: personal %v, %v\n%s", name, got.Personal, err, got.Message)
		}
	}
}

// TestMeasuredAccounts proves that the directory has what the file says of links
// and vendors.
func TestMeasuredAccounts(t *testing.T) {
	s := newSite(t, `
hostname = "mail.example.com"
[[tenant]]
name = "shop"
[[tenant.stream]]
name = "marketing"
track_text = true
utm = "utm_source=shop&utm_campaign={campaign}"
utm_hosts = "Shop.Example"
[[credential]]
username = "app"
password_hash = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
from_domains = "shop.example"
vendor_headers = "ses"
`)
	c := s.config()
	snapshot, err := readAccounts(c)
	if err != nil {
		t.Fatal(err)
	}
	news := snapshot.tenants["shop"].Streams[account.Marketing]
	if news.Track != account.TrackAll|account.TrackText || news.UTM.String() != "utm_source=shop&utm_campaign=%7Bcampaign%7D" || len(news.UTMHosts) != 1 || news.UTMHosts[0] != "shop.example" {
		t.Errorf("%+v", news)
	}
	if vendors := snapshot.credentials["app"].VendorHeaders; len(vendors) != 1 || vendors[0] != "ses" {
		t.Errorf("%v", vendors)
	}
	c.Tenants[0].Streams[0].UTM = "no parameters"
	_, err = readAccounts(c)
	contains(t, err, "stream marketing: utm: expected name=value")
}

// TestReloadTakesNewKeys proves that a running daemon seals with the new key
// after a reload and opens what the old one sealed, and that a broken file
// changes nothing.
func TestReloadTakesNewKeys(t *testing.T) {
	_, d := newReloadable(t)
	file := filepath.Join(d.begun.DataDir, "tracking.keys")
	old, err := d.tokens.Seal(token.PurposeClick, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next, id, err := token.Rotate(text, token.Generate())
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"nonsense", ""} {
		if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		contains(t, d.reload(context.Background()), "tracking.keys: ")
		if d.tokens.Active() != 0 {
			t.Fatal("a broken file was taken")
		}
	}
	if err := os.WriteFile(file, next, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d.tokens.Active() != id {
		t.Errorf("key %d is active, not %d", d.tokens.Active(), id)
	}
	if got, err := d.tokens.Open(token.PurposeClick, old); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}
