package daemon

import (
	"slices"
	"testing"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/mta/submission/bulk"
)

// TestEveryRuleHasItsKey: the names are those of the configuration.
func TestEveryRuleHasItsKey(t *testing.T) {
	named := (config.Checks{}).Named()
	for _, rule := range bulk.Rules() {
		if _, ok := named[string(rule)]; !ok {
			t.Errorf("no key for %s", rule)
		}
		delete(named, string(rule))
	}
	for key := range named {
		t.Errorf("no rule for %s", key)
	}
}

func TestChecksOfStreams(t *testing.T) {
	c, err := config.Parse("x", []byte(`hostname = "mail.example.com"
[[tenant]]
name = "shop"
[[tenant.stream]]
name = "marketing"
notify = "failures"
max_size = "2MB"
[tenant.stream.check]
dkim_alignment = "enforce"
html_size = "off"
[[tenant.stream]]
name = "digest"
checks = "enforce"
`), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := readAccounts(c)
	if err != nil {
		t.Fatal(err)
	}
	streams := s.tenants["shop"].Streams
	m, d, plain := streams["marketing"], streams["digest"], streams["transactional"]
	if m.Checks["dkim_alignment"] != account.CheckEnforce || m.Checks["one_click"] != account.CheckWarn || m.Checks["html_size"] != account.CheckOff ||
		m.Notices != account.NoticesFailures || m.MaxSize != 2_000_000 {
		t.Errorf("%+v", m)
	}
	if d.Checks["one_click"] != account.CheckEnforce || d.Checks["html_size"] != account.CheckWarn || d.Notices != account.NoticesAsked {
		t.Errorf("%+v", d)
	}
	if plain.Checks != nil || plain.Notices != account.NoticesAsked {
		t.Errorf("%+v", plain)
	}
	untouched := slices.IndexFunc(config.Default().Tenants[0].Streams, func(s config.Stream) bool { return s.Name == "marketing" })
	if got := config.Default().Tenants[0].Streams[untouched]; got.Notify != "off" || got.Checks != "warn" {
		t.Errorf("%+v", got)
	}
}
