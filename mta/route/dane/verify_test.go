package dane_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
	"github.com/postrider-mta/postrider/mta/route/dane"
)

const host = "mx.example.com"

func TestEndEntity(t *testing.T) {
	// Neither name nor date nor chain counts.
	expired := chainOf(t, testmx.Leaf{Names: []string{"other.example"}, Expired: true})
	other := chainOf(t, testmx.Leaf{Names: []string{host}})
	for selector := range uint8(2) {
		for matching := range uint8(3) {
			policy := dane.New([]dane.Record{record(3, selector, matching, expired[0])}, host)
			if err := policy.Verify(expired[:1], time.Now()); err != nil {
				t.Errorf("3 %d %d: %v", selector, matching, err)
			}
			if err := policy.Verify(other, time.Now()); !errors.Is(err, dane.ErrMismatch) {
				t.Errorf("3 %d %d: %v for another certificate", selector, matching, err)
			}
			if err := policy.Verify(nil, time.Now()); !errors.Is(err, dane.ErrNoCertificate) {
				t.Errorf("3 %d %d: %v for no certificate", selector, matching, err)
			}
		}
	}
	// An end-entity record says nothing of the authorities.
	policy := dane.New([]dane.Record{record(3, 1, 1, other[1])}, host)
	if err := policy.Verify(other, time.Now()); !errors.Is(err, dane.ErrMismatch) {
		t.Errorf("a record for the authority: %v", err)
	}
}

func TestTrustAnchor(t *testing.T) {
	chain := chainOf(t, testmx.Leaf{Names: []string{host}})
	other := chainOf(t, testmx.Leaf{Names: []string{host}})
	for anchor := 1; anchor <= 2; anchor++ {
		for selector := range uint8(2) {
			for matching := range uint8(3) {
				policy := dane.New([]dane.Record{record(2, selector, matching, chain[anchor])}, host)
				if err := policy.Verify(chain, time.Now()); err != nil {
					t.Errorf("2 %d %d for authority %d: %v", selector, matching, anchor, err)
				}
				if err := policy.Verify(other, time.Now()); err == nil {
					t.Errorf("2 %d %d for authority %d takes another chain", selector, matching, anchor)
				}
				// A digest needs its certificate in the chain (RFC 7671 section
				// 5.2.3); what is there in full need not be sent.
				err := policy.Verify(chain[:anchor], time.Now())
				if full := matching == dane.MatchingFull; full != (err == nil) {
					t.Errorf("2 %d %d without authority %d in the chain: %v", selector, matching, anchor, err)
				}
			}
		}
	}
	// The server's own certificate is no trust anchor.
	policy := dane.New([]dane.Record{record(2, 0, 1, chain[0])}, host)
	if err := policy.Verify(chain, time.Now()); !errors.Is(err, dane.ErrMismatch) {
		t.Errorf("anchor at the leaf: %v", err)
	}
	// An authority in the chain that signed nothing in it.
	policy = dane.New([]dane.Record{record(2, 0, 1, other[2])}, host)
	if err := policy.Verify(append(slices.Clone(chain), other[2]), time.Now()); !isUnknownAuthority(err) {
		t.Errorf("an authority that is only sent along: %v", err)
	}
}

func isUnknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

func TestTrustAnchorNames(t *testing.T) {
	for _, tc := range []struct {
		leaf  testmx.Leaf
		names []string
		ok    bool
	}{
		{testmx.Leaf{Names: []string{host}}, nil, true},
		{testmx.Leaf{Names: []string{"MX.Example.COM"}}, nil, true},
		{testmx.Leaf{Names: []string{"*.example.com"}}, nil, true},
		{testmx.Leaf{Names: []string{"mx*.example.com"}}, nil, false},
		{testmx.Leaf{Names: []string{"*.com"}}, nil, false},
		{testmx.Leaf{Names: []string{"example.net"}}, nil, false},
		{testmx.Leaf{Names: []string{"example.net"}}, []string{"example.net"}, true},
		{testmx.Leaf{Names: []string{"alias.example"}}, []string{"example.net", "alias.example"}, true},
		{testmx.Leaf{CommonName: host}, nil, true},
		{testmx.Leaf{Names: []string{"other.example"}, CommonName: host}, nil, false},
	} {
		chain := chainOf(t, tc.leaf)
		policy := dane.New([]dane.Record{record(2, 1, 1, chain[2])}, host, tc.names...)
		err := policy.Verify(chain, time.Now())
		var wrong x509.HostnameError
		if tc.ok != (err == nil) || err != nil && !errors.As(err, &wrong) {
			t.Errorf("%+v with %v: %v", tc.leaf, tc.names, err)
		}
	}
}

func TestTrustAnchorDates(t *testing.T) {
	chain := chainOf(t, testmx.Leaf{Names: []string{host}, Expired: true})
	policy := dane.New([]dane.Record{record(2, 0, 1, chain[1])}, host)
	var invalid x509.CertificateInvalidError
	if err := policy.Verify(chain, time.Now()); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired: %v", err)
	}
	if err := policy.Verify(chain, chain[0].NotBefore.Add(time.Minute)); err == nil {
		t.Error("the authority was not valid yet")
	}
}

func TestAnyRecordMayMatch(t *testing.T) {
	chain := chainOf(t, testmx.Leaf{Names: []string{host}})
	old := chainOf(t, testmx.Leaf{Names: []string{host}})
	policy := dane.New([]dane.Record{
		record(3, 1, 1, old[0]), record(2, 0, 1, old[2]), record(3, 1, 1, chain[0]), {Usage: 1, Data: []byte{1}},
	}, host)
	if err := policy.Verify(chain, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestDigestAgility(t *testing.T) {
	chain := chainOf(t, testmx.Leaf{Names: []string{host}})
	stale := chainOf(t, testmx.Leaf{Names: []string{host}})
	sha256, wrong512 := record(3, 1, 1, chain[0]), record(3, 1, 2, stale[0])
	verify := func(records ...dane.Record) error { return dane.New(records, host).Verify(chain, time.Now()) }
	if err := verify(sha256, wrong512); !errors.Is(err, dane.ErrMismatch) {
		t.Errorf("the weaker digest still counts: %v", err)
	}
	// Another selector is another matter, and so is what is there in full.
	if err := verify(record(3, 0, 1, chain[0]), wrong512); err != nil {
		t.Errorf("another selector: %v", err)
	}
	if err := verify(record(3, 1, 0, chain[0]), wrong512); err != nil {
		t.Errorf("in full: %v", err)
	}
	// What cannot be used does not outrank what can.
	wrong512.Data = wrong512.Data[:63]
	if err := verify(sha256, wrong512); err != nil {
		t.Errorf("beside a malformed stronger digest: %v", err)
	}
}
