package dane_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

func TestUnusable(t *testing.T) {
	chain := chainOf(t, testmx.Leaf{Names: []string{host}})
	good := record(3, 1, 1, chain[0])
	for name, r := range map[string]dane.Record{
		"usage 0":         record(0, 0, 1, chain[2]),
		"usage 1":         record(1, 0, 1, chain[0]),
		"usage 4":         record(4, 0, 1, chain[0]),
		"usage 255":       record(255, 0, 1, chain[0]),
		"selector 2":      {Usage: 3, Selector: 2, Matching: 1, Data: good.Data},
		"matching 3":      {Usage: 3, Selector: 1, Matching: 3, Data: good.Data},
		"short digest":    {Usage: 3, Selector: 1, Matching: 1, Data: good.Data[:31]},
		"long digest":     {Usage: 3, Selector: 1, Matching: 2, Data: bytes.Repeat([]byte{1}, 65)},
		"no data":         {Usage: 3, Selector: 1, Matching: 0},
		"no certificate":  {Usage: 3, Selector: 0, Matching: 0, Data: []byte("garbage")},
		"no key":          {Usage: 2, Selector: 1, Matching: 0, Data: chain[0].Raw},
		"key as a whole":  {Usage: 2, Selector: 0, Matching: 0, Data: chain[0].RawSubjectPublicKeyInfo},
		"digest as whole": {Usage: 2, Selector: 0, Matching: 0, Data: good.Data},
	} {
		policy := dane.New([]dane.Record{r}, host)
		if policy.Authenticates() || len(policy.Problems()) != 1 || !errors.Is(policy.Problems()[0], dane.ErrUnusable) {
			t.Errorf("%s: usable, or no reason: %v", name, policy.Problems())
		}
		if err := policy.Verify(nil, time.Now()); err != nil {
			t.Errorf("%s: %v, but nothing is asked for", name, err)
		}
		both := dane.New([]dane.Record{r, good}, host)
		if !both.Authenticates() || both.Verify(chain, time.Now()) != nil {
			t.Errorf("%s spoils a good record", name)
		}
	}
}

func TestFromRR(t *testing.T) {
	rr, err := dns.NewRR("_25._tcp.mx.example.com. 60 IN TLSA 3 1 1 00FF")
	if err != nil {
		t.Fatal(err)
	}
	r, err := dane.FromRR(rr.(*dns.TLSA))
	if err != nil || r.String() != "3 1 1 00ff" {
		t.Errorf("%v, %v", r, err)
	}
	for _, data := range []string{"0", "xy", "00 ff"} {
		if r, err := dane.FromRR(&dns.TLSA{Usage: 3, Certificate: data}); !errors.Is(err, dane.ErrUnusable) || r.Data != nil || r.Usage != 3 {
			t.Errorf("%q: %v, %v", data, r, err)
		}
	}
}

func TestKey(t *testing.T) {
	a, b := chainOf(t, testmx.Leaf{Names: []string{host}}), chainOf(t, testmx.Leaf{Names: []string{host}})
	first, second := record(3, 1, 1, a[0]), record(3, 1, 1, b[0])
	anchor := record(2, 1, 1, a[2])
	base := dane.New([]dane.Record{first, second}, host, "one.example").Key()
	for name, same := range map[string]*dane.Policy{
		"order":      dane.New([]dane.Record{second, first, first}, host, "one.example"),
		"next hop":   dane.New([]dane.Record{first, second}, host, "two.example"),
		"not usable": dane.New([]dane.Record{first, second, {Usage: 9}}, host),
	} {
		if same.Key() != base {
			t.Errorf("%s changes the key", name)
		}
	}
	for name, other := range map[string]*dane.Policy{
		"record":     dane.New([]dane.Record{first}, host, "one.example"),
		"base":       dane.New([]dane.Record{first, second}, "mx2.example.com", "one.example"),
		"unusable":   dane.New([]dane.Record{{Usage: 9}}, host),
		"anchor":     dane.New([]dane.Record{anchor}, host, "one.example"),
		"anchor for": dane.New([]dane.Record{anchor}, host, "two.example"),
	} {
		if other.Key() == base {
			t.Errorf("%s does not change the key", name)
		}
	}
	if one, two := dane.New([]dane.Record{anchor}, host, "one.example"), dane.New([]dane.Record{anchor}, host, "two.example"); one.Key() == two.Key() {
		t.Error("below an anchor the next hop's name counts")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	var many []dane.Record
	for i := range 1000 {
		many = append(many, dane.Record{Usage: 3, Selector: 1, Matching: 1, Data: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16)})
	}
	if n := len(dane.New(many, host).Strings()); n != 64 {
		t.Errorf("%d records", n)
	}
}

func FuzzPolicy(f *testing.F) {
	chain := chainOf(f, testmx.Leaf{Names: []string{host}})
	f.Add(uint8(3), uint8(1), uint8(1), "00ff")
	f.Add(uint8(2), uint8(0), uint8(0), strings.ToUpper(record(2, 0, 0, chain[1]).String()[6:]))
	f.Add(uint8(2), uint8(1), uint8(0), record(2, 1, 0, chain[1]).String()[6:])
	f.Add(uint8(2), uint8(1), uint8(2), record(2, 1, 2, chain[1]).String()[6:])
	f.Add(uint8(255), uint8(255), uint8(255), "zz")
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data string) {
		r, err := dane.FromRR(&dns.TLSA{Usage: usage, Selector: selector, MatchingType: matching, Certificate: data})
		if err != nil && !errors.Is(err, dane.ErrUnusable) {
			t.Fatal(err)
		}
		policy := dane.New([]dane.Record{r}, host, "example.com")
		if policy.Authenticates() != (r.Check() == nil) {
			t.Errorf("%v: authenticates %v, check %v", r, policy.Authenticates(), r.Check())
		}
		accepted := policy.Verify(chain, time.Now()) == nil
		stands := false
		for i, c := range chain {
			if i == 0 == (usage == 3) {
				stands = stands || r.String() == record(usage, selector, matching, c).String()
			}
		}
		if policy.Authenticates() && accepted != stands {
			t.Errorf("%v: accepted %v, stands for the chain %v", r, accepted, stands)
		}
	})
}
