package source

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
)

func start() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func steady() float64 { return 0.5 }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// three are sources of each kind: a speaks both families, b IPv4, c IPv6.
func three() []Source {
	return []Source{
		{Name: "a", IPv4: addr("192.0.2.1"), IPv6: addr("2001:db8::1"), EHLO: "a.example"},
		{Name: "b", IPv4: addr("192.0.2.2"), EHLO: "b.example"},
		{Name: "c", IPv6: addr("2001:db8::3"), EHLO: "c.example"},
	}
}

// made returns a Set over three with one pool of all, unless o has its own.
func made(t testing.TB, o Options) *Set {
	t.Helper()
	if o.Sources == nil {
		o.Sources = three()
	}
	if o.Pools == nil {
		o.Pools = []Pool{{Name: "all", Members: []Member{{"a", 1}, {"b", 1}, {"c", 1}}}}
	}
	o.Random = steady
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func single(name string) []Pool {
	return []Pool{{Name: "one", Members: []Member{{name, 1}}}}
}

func choose(t testing.TB, s *Set, now time.Time, r Request) Choice {
	t.Helper()
	c, err := s.Choose(now, r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused demands that there is no source.
func refused(t testing.TB, s *Set, now time.Time, r Request) *Error {
	t.Helper()
	c, err := s.Choose(now, r)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("chosen %q, error %v", c.Source.Name, err)
	}
	if e.Reply().Permanent() || e.Reply().Positive() {
		t.Errorf("reply %v", e.Reply())
	}
	return e
}

func message(i int) Request {
	return Request{Site: "google.com", Message: fmt.Sprintf("01J%08d", i)}
}

// chosen are the sources that n messages leave from.
func chosen(t testing.TB, s *Set, now time.Time, n int, r Request) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i := range n {
		r.Message = message(i).Message
		counts[choose(t, s, now, r).Source.Name]++
	}
	return counts
}

func TestFamilies(t *testing.T) {
	for name, test := range map[string]struct {
		reach      Families
		preference Preference
		want       string
	}{
		"both":            {Both, Either, "a b c"},
		"not said":        {0, Either, "a b c"},
		"site has IPv4":   {IPv4, Either, "a b"},
		"site has IPv6":   {IPv6, Either, "a c"},
		"only IPv4":       {Both, OnlyIPv4, "a b"},
		"only IPv6":       {0, OnlyIPv6, "a c"},
		"prefers IPv6":    {Both, PreferIPv6, "a b c"},
		"IPv4, wants 6":   {IPv4, OnlyIPv6, ""},
		"IPv4, prefers 6": {IPv4, PreferIPv6, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := made(t, Options{})
			r := Request{Site: "x", Reach: test.reach, Preference: test.preference}
			if test.want == "" {
				refused(t, s, start(), r)
				return
			}
			var names []string
			for source := range chosen(t, s, start(), 200, r) {
				names = append(names, source)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAddressesInOrder(t *testing.T) {
	addrs := []netip.AddrPort{
		netip.MustParseAddrPort("198.51.100.1:25"), netip.MustParseAddrPort("[2001:db8::9]:25"),
		netip.MustParseAddrPort("198.51.100.2:25"),
	}
	both, six := made(t, Options{Pools: single("a")}), made(t, Options{Pools: single("c")})
	for name, test := range map[string]struct {
		set        *Set
		preference Preference
		want       string
	}{
		"any":         {both, Either, "1 9 2"},
		"IPv4 first":  {both, PreferIPv4, "1 2 9"},
		"IPv6 first":  {both, PreferIPv6, "9 1 2"},
		"only IPv4":   {both, OnlyIPv4, "1 2"},
		"source's":    {six, PreferIPv4, "9"},
		"both only 6": {both, OnlyIPv6, "9"},
	} {
		c := choose(t, test.set, start(), Request{Site: "x", Preference: test.preference})
		var got []string
		for _, a := range c.Addresses(addrs) {
			text := a.Addr().String()
			got = append(got, text[len(text)-1:])
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

func TestLocal(t *testing.T) {
	s := three()[0]
	if s.Local(addr("198.51.100.1")) != s.IPv4 || s.Local(addr("2001:db8::9")) != s.IPv6 || s.Local(addr("::ffff:198.51.100.1")) != s.IPv4 {
		t.Error("local address")
	}
	system := Source{Name: "system"}
	if system.Speaks() != Both || system.Local(addr("198.51.100.1")).IsValid() {
		t.Error("a source without addresses")
	}
}

func TestPreferenceText(t *testing.T) {
	for p := Either; p <= OnlyIPv6; p++ {
		if got, err := ParsePreference(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	if _, err := ParsePreference("ipv5"); err == nil {
		t.Error("ipv5 passed")
	}
	if p, err := ParsePreference(""); p != Either || err != nil {
		t.Error(p, err)
	}
}

func TestPools(t *testing.T) {
	s := made(t, Options{
		Pools: []Pool{
			{Name: "shared", Members: []Member{{"a", 1}}},
			{Name: "bank", Members: []Member{{"b", 1}}, Tenants: []string{"bank"}},
			{Name: "news", Members: []Member{{"c", 1}}, Tenants: []string{"nobody"}},
		},
		Assignments: []Assignment{
			{Tenant: "shop", Stream: "marketing", Pool: "news"},
			{Tenant: "bank", Pool: "bank"},
		},
	})
	for name, test := range map[string]struct{ tenant, stream, named, want string }{
		"default":             {"shop", "transactional", "", "a"},
		"stream's":            {"shop", "marketing", "", "c"},
		"tenant's":            {"bank", "marketing", "", "b"},
		"named":               {"bank", "marketing", "shared", "a"},
		"named and allowed":   {"bank", "", "bank", "b"},
		"named and assigned":  {"shop", "transactional", "news", "c"},
		"another's":           {"shop", "transactional", "bank", ""},
		"unknown":             {"shop", "transactional", "none", ""},
		"of another assigned": {"bank", "transactional", "news", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Tenant: test.tenant, Stream: test.stream, Pool: test.named}
			if test.named != "" && s.MayUse(test.tenant, test.named) != (test.want != "") {
				t.Error("MayUse does not agree")
			}
			if test.want == "" {
				if e := refused(t, s, start(), r); !errors.Is(e, ErrNoPool) {
					t.Error(e)
				}
				return
			}
			if got := choose(t, s, start(), r).Source.Name; got != test.want {
				t.Errorf("left from %s", got)
			}
		})
	}
}

func TestWrongOptions(t *testing.T) {
	good := Pool{Name: "p", Members: []Member{{"a", 1}}}
	for name, o := range map[string]Options{
		"nothing":           {},
		"source twice":      {Sources: append(three(), Source{Name: "a"}), Pools: []Pool{good}},
		"source unnamed":    {Sources: []Source{{}}, Pools: []Pool{good}},
		"pool twice":        {Sources: three(), Pools: []Pool{good, good}},
		"pool empty":        {Sources: three(), Pools: []Pool{{Name: "p"}}},
		"member unknown":    {Sources: three(), Pools: []Pool{{Name: "p", Members: []Member{{"z", 1}}}}},
		"member twice":      {Sources: three(), Pools: []Pool{{Name: "p", Members: []Member{{"a", 1}, {"a", 1}}}}},
		"member weightless": {Sources: three(), Pools: []Pool{{Name: "p", Members: []Member{{"a", 0}}}}},
		"default unknown":   {Sources: three(), Pools: []Pool{good}, Default: "q"},
		"assigned unknown":  {Sources: three(), Pools: []Pool{good}, Assignments: []Assignment{{"t", "", "q"}}},
	} {
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What one source has no room for goes to the others, and to warmed ones
// before those that are being warmed up.
func TestOverflowGoesToWarmed(t *testing.T) {
	full := map[string]bool{}
	s := made(t, Options{
		Room:    func(source, site string) bool { return !full[source] || site != "google.com" },
		Warming: func(source, _ string) bool { return source != "b" },
	})
	now := start()
	before := chosen(t, s, now, 300, message(0))
	full["a"] = true
	after := chosen(t, s, now, 300, message(0))
	if after["a"] != 0 || after["c"] != before["c"] || after["b"] != before["b"]+before["a"] {
		t.Errorf("before %v, after %v", before, after)
	}
	if elsewhere := chosen(t, s, now, 300, Request{Site: "yahoodns.net"}); elsewhere["a"] == 0 {
		t.Error("the cap holds at another site")
	}
	s.Suspend(now, Suspension{Source: "b", Name: SuspendedBlocked, Reason: "listed", Until: now.Add(time.Hour)})
	if got := chosen(t, s, now, 300, message(0)); got["c"] != 300 {
		t.Errorf("with only one being warmed up left: %v", got)
	}
	full["c"] = true
	e := refused(t, s, now, message(1))
	if !errors.Is(e, ErrNoSource) || !e.Until.Equal(now.Add(time.Hour)) || len(e.Candidates) != 3 {
		t.Errorf("%+v", e)
	}
	const words = `pool "all": no source can be used (a: its warm-up allows no more for now; ` +
		`b: it is suspended (listed) until 2026-07-01 13:00:00Z; c: its warm-up allows no more for now)`
	if e.Error() != words {
		t.Errorf("said %q", e.Error())
	}
}

func TestCandidates(t *testing.T) {
	s := made(t, Options{Pools: []Pool{{Name: "p", Members: []Member{{"a", 3}, {"b", 1}}}}})
	now := start()
	s.Suspend(now, Suspension{Source: "a", Families: IPv4, Name: SuspendedBind, Reason: "cannot assign"})
	all, err := s.Candidates(now.Add(time.Minute), Request{Reach: Both})
	if err != nil || len(all) != 2 || all[0].Share != 0.75 || all[0].Families != Both {
		t.Errorf("%+v, %v", all, err)
	}
	for range 2 { // it takes no probe
		if c := choose(t, s, now.Add(time.Minute), Request{Preference: OnlyIPv4, Message: "m"}); c.Source.Name == "a" && !c.Probe {
			t.Error("the probe is gone")
		}
	}
}

func TestBlocksShareASource(t *testing.T) {
	s := made(t, Options{Block: 10})
	counts := map[string]int{}
	for i := range 1000 {
		r := Request{Site: "google.com", Message: "campaign", Recipient: i}
		c := choose(t, s, start(), r)
		counts[c.Source.Name]++
		r.Recipient = i / 10 * 10
		if choose(t, s, start(), r).Source.Name != c.Source.Name {
			t.Fatalf("recipient %d left its block", i)
		}
	}
	for name, n := range counts {
		if n < 200 || n > 500 {
			t.Errorf("%d of 1000 recipients of one message from %s", n, name)
		}
	}
}

func TestConfigure(t *testing.T) {
	s := made(t, Options{})
	now := start()
	for _, name := range []string{"a", "b", "c"} {
		s.Suspend(now, Suspension{Source: name, Name: SuspendedBlocked})
	}
	if err := s.Configure(Options{}); !errors.Is(err, ErrOptions) || len(s.Sources()) != 3 {
		t.Errorf("%v, %d sources", err, len(s.Sources()))
	}
	sources := three()[:2]
	sources[1].IPv4 = addr("192.0.2.99")
	if err := s.Configure(Options{Sources: sources, Pools: []Pool{{Name: "all", Members: []Member{{"a", 1}, {"b", 1}}}}}); err != nil {
		t.Fatal(err)
	}
	left := s.Suspensions(now)
	if len(left) != 1 || left[0].Source != "a" {
		t.Errorf("suspended: %+v", left)
	}
	if _, ok := s.Source("c"); ok {
		t.Error("c is still there")
	}
	if b, ok := s.Source("b"); !ok || b.IPv4 != addr("192.0.2.99") {
		t.Errorf("b: %+v", b)
	}
	if got := choose(t, s, now, message(1)); got.Source.Name != "b" {
		t.Error("left from", got.Source.Name)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := made(t, Options{MaxSuspensions: 20})
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 300 {
				now := start().Add(time.Duration(i) * time.Minute)
				r := Request{Site: fmt.Sprint(i % 7), Message: fmt.Sprint(worker, i)}
				c, err := s.Choose(now, r)
				if err == nil && i%3 == 0 {
					s.Suspend(now, Suspension{Source: c.Source.Name, Site: r.Site, Name: SuspendedBlocked})
				}
				s.Delivered(now, "a", r.Site, IPv4)
				s.Suspensions(now)
				if i%50 == 0 {
					_ = s.Configure(Options{Sources: three(), Pools: single("a")})
					s.Lift("a", "", "")
				}
			}
		})
	}
	group.Wait()
}

func TestErrorHoldsNoReplyText(t *testing.T) {
	s := made(t, Options{Pools: single("a")})
	s.Suspend(start(), Suspension{
		Source: "a", Name: SuspendedBlocked, Reason: "the provider blocks it",
		Cause: mail.Reply{Code: 550, Text: "jane@example.com says no"},
	})
	if text := refused(t, s, start(), message(1)).Error(); strings.Contains(text, "@") || !strings.Contains(text, "blocks it") {
		t.Error(text)
	}
}

func BenchmarkChoose(b *testing.B) {
	s := made(b, Options{})
	s.Suspend(start(), Suspension{Source: "a", Site: "elsewhere", Name: SuspendedBlocked})
	r := message(1)
	b.ReportAllocs()
	for b.Loop() {
		r.Recipient += 50
		if _, err := s.Choose(start(), r); err != nil {
			b.Fatal(err)
		}
	}
}
