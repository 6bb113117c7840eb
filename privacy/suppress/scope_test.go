package suppress

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/person"
)

// Each reason keeps back what it concerns, and nothing else.
func TestScopes(t *testing.T) {
	const to = "one@example.com"
	for _, c := range []struct {
		tenant, stream string
		reason         Reason
		holds          string // of the questions below
	}{
		{"acme", "", HardBounce, "acme/transactional acme/marketing acme/digest acme/"},
		{"acme", "", SoftBounce, "acme/transactional acme/marketing acme/digest acme/"},
		{"acme", "", Manual, "acme/transactional acme/marketing acme/digest acme/"},
		{"acme", "", Erased, "acme/transactional acme/marketing acme/digest acme/"},
		{"acme", "", Complaint, "acme/marketing acme/digest"},
		{"acme", "", Unsubscribed, "acme/marketing acme/digest"},
		{"acme", "digest", Unsubscribed, "acme/digest"},
		{"acme", "transactional", Unsubscribed, "acme/transactional"},
		{"acme", "marketing", HardBounce, "acme/marketing"},
		{AllTenants, "", Manual, "acme/transactional acme/marketing acme/digest acme/ rival/marketing rival/"},
		{AllTenants, "", Complaint, "acme/marketing acme/digest rival/marketing"},
		{AllTenants, "marketing", Manual, "acme/marketing rival/marketing"},
	} {
		f := newTest(t)
		e := entry(t, c.stream, to, c.reason)
		e.Tenant = c.tenant
		f.add(t, e)
		got := ""
		for _, q := range [][2]string{
			{"acme", "transactional"}, {"acme", "marketing"}, {"acme", "digest"}, {"acme", ""}, {"rival", "marketing"}, {"rival", ""},
		} {
			if _, found := f.check(t, q[0], q[1], to); found {
				got += " " + q[0] + "/" + q[1]
			}
			if _, found := f.check(t, q[0], q[1], "two@example.com"); found {
				t.Errorf("%+v: another address is kept back", c)
			}
		}
		if got != " "+c.holds {
			t.Errorf("%s of %s/%s holds%s, want %s", c.reason, c.tenant, c.stream, got, c.holds)
		}
	}
}

// The operator's list and the tenant's are told apart, and by Lookup together.
func TestLookup(t *testing.T) {
	f := newTest(t)
	trap := entry(t, "", "one@example.com", Manual)
	trap.Tenant = AllTenants
	f.add(t, trap, entry(t, "marketing", "one@example.com", Unsubscribed))
	for tenant, want := range map[string]int{"acme": 2, "rival": 1, AllTenants: 1} {
		if got, err := f.Lookup(tenant, address(t, "ONE@example.com")); len(got) != want || err != nil {
			t.Errorf("%s: %+v, %v", tenant, got, err)
		}
	}
	if got, _ := f.check(t, "acme", "marketing", "one@example.com"); got.Tenant != "acme" || got.Reason != Unsubscribed {
		t.Errorf("named is %+v", got)
	}
}

func expiring(t testing.TB, to string, reason Reason, lasts time.Duration) Entry {
	e := entry(t, "", to, reason)
	e.Expires = time.Now().Add(lasts).Truncate(time.Second).UTC()
	return e
}

func TestExpiry(t *testing.T) {
	f := newTest(t)
	const past, kept = "past@example.com", "kept@example.com"
	f.add(t, expiring(t, past, HardBounce, -time.Hour), expiring(t, kept, Manual, time.Hour), entry(t, "", "ever@example.com", SoftBounce))
	if _, found := f.check(t, "acme", "marketing", past); found {
		t.Error("one that expired keeps back")
	}
	if got, _, err := f.List(t.Context(), Selector{}, "", 10); len(got) != 2 || err != nil {
		t.Errorf("listed %+v, %v", got, err)
	}
	f.add(t, expiring(t, past, HardBounce, time.Hour)) // an expired one is replaced
	if _, found := f.check(t, "acme", "marketing", past); !found {
		t.Error("the new one does not keep back")
	}
	f.add(t, expiring(t, "gone@example.com", HardBounce, -time.Hour))
	if n, err := f.Expire(t.Context(), time.Time{}); n != 1 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	if n, err := f.Expire(t.Context(), time.Time{}); n != 0 || err != nil {
		t.Errorf("expired again %d, %v", n, err)
	}
	if _, found := f.check(t, "acme", "marketing", past); !found {
		t.Error("one that was given more time is gone")
	}
	if _, err := f.Erase(t.Context(), person.Subject{Tenant: "acme", Address: address(t, "gone@example.com")}); err != nil || f.inFiles(t, "gone@") {
		t.Errorf("what expired is still in the file, %v", err)
	}
}

func TestOnlyWhatLastsLongerReplaces(t *testing.T) {
	f := newTest(t)
	short, long, ever := expiring(t, "one@example.com", Manual, time.Hour), expiring(t, "one@example.com", Manual, 2*time.Hour), entry(t, "", "one@example.com", Manual)
	for i, c := range []struct {
		e    Entry
		want bool
	}{{short, true}, {short, false}, {long, true}, {short, false}, {ever, true}, {long, false}, {ever, false}} {
		if changed, err := f.Add(t.Context(), c.e); changed != c.want || err != nil {
			t.Errorf("step %d: %t, %v", i, changed, err)
		}
	}
}

func TestWhatWasAskedForDoesNotExpire(t *testing.T) {
	f := newTest(t)
	for _, reason := range Reasons() {
		_, err := f.Add(t.Context(), expiring(t, "one@example.com", reason, time.Hour))
		if refused := errors.Is(err, ErrEntry); refused == reason.MayExpire() {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func hexSHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func parsedHash(t testing.TB, text string) Hash {
	t.Helper()
	h, err := ParseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashes(t *testing.T) {
	f := newTest(t)
	for _, text := range []string{hexSHA256("one@example.com"), "MD5:" + hexMD5("two@example.com")} {
		f.add(t, Entry{Tenant: "acme", Hash: parsedHash(t, text), Reason: Manual, Time: time.Now()})
	}
	for range 2 {
		for to, want := range map[string]bool{"One@Example.com": true, "TWO@example.com": true, "three@example.com": false} {
			got, found := f.check(t, "acme", "marketing", to)
			if found != want || found && (!got.Address.IsZero() || got.Hash.IsZero()) {
				t.Errorf("%s: %+v", to, got)
			}
			if _, found := f.check(t, "rival", "marketing", to); found {
				t.Errorf("%s is kept back for another tenant", to)
			}
		}
		f = f.reopen(t) // which tenants have MD5s is known again
	}
	if f.inFiles(t, hexMD5("two@example.com")) || f.inFiles(t, hexSHA256("one@example.com")) {
		t.Error("a hash that anybody can make is kept")
	}
	for to, text := range map[string]string{"one@example.com": hexSHA256("one@example.com"), "two@example.com": hexMD5("two@example.com")} {
		if n, err := f.Find(t.Context(), subject(t, to)); n != 1 || err != nil {
			t.Errorf("%s: found %d, %v", to, n, err)
		}
		if got, err := f.Remove(t.Context(), Selector{Tenant: "acme", Hash: parsedHash(t, text)}); len(got) != 1 || err != nil {
			t.Errorf("%s: removed %+v, %v", to, got, err)
		}
	}
}

// An erasure on the operator's list is asked for, though it was the first.
func TestEraseOnTheOperatorsList(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "", "other@example.com", Manual))
	if _, err := f.Remove(t.Context(), Selector{Tenant: "acme", Address: address(t, "other@example.com")}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Erase(t.Context(), person.Subject{Tenant: AllTenants, Address: address(t, "one@example.com")}); err != nil {
		t.Fatal(err)
	}
	if got, found := f.check(t, "acme", "", "one@example.com"); !found || got.Reason != Erased {
		t.Errorf("got %+v, %t", got, found)
	}
}

// A hash and the address that it is of are one entry.
func TestHashAndAddressMeet(t *testing.T) {
	f := newTest(t)
	f.add(t, entry(t, "", "one@example.com", Manual))
	if changed, err := f.Add(t.Context(), Entry{Tenant: "acme", Hash: parsedHash(t, hexSHA256("one@example.com")), Reason: Manual, Time: time.Now()}); changed || err != nil {
		t.Errorf("%t, %v", changed, err)
	}
}

func TestEraseAndRectifyHashes(t *testing.T) {
	f := newTest(t)
	for _, text := range []string{hexSHA256("one@example.com"), hexMD5("one@example.com"), hexMD5("two@example.com")} {
		f.add(t, Entry{Tenant: "acme", Hash: parsedHash(t, text), Reason: Manual, Time: time.Now()})
	}
	if n, err := f.Erase(t.Context(), subject(t, "one@example.com")); n != 2 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if got, _ := f.check(t, "acme", "", "one@example.com"); got.Reason != Erased {
		t.Errorf("after erasure: %+v", got)
	}
	if n, err := f.Rectify(t.Context(), subject(t, "two@example.com"), address(t, "right@example.com")); n != 1 || err != nil {
		t.Errorf("rectified %d, %v", n, err)
	}
	if got, found := f.check(t, "acme", "", "right@example.com"); !found || !got.Address.IsZero() {
		t.Errorf("after the correction: %+v, %t", got, found)
	}
	if _, found := f.check(t, "acme", "", "two@example.com"); found {
		t.Error("the old address is still kept back")
	}
}

func TestParseHash(t *testing.T) {
	sum := hexSHA256("x")
	for text, want := range map[string]string{
		sum: "sha256:" + sum, " SHA256:" + sum: "sha256:" + sum, sum[:32]: "md5:" + sum[:32],
		"keyed:01020304:" + sum[:32]: "keyed:01020304:" + sum[:32], "keyed-md5:01020304:" + sum[:32]: "keyed-md5:01020304:" + sum[:32],
		"": "", "md5:" + sum: "", "sha256:" + sum[:32]: "", sum[:40]: "", "sha1:" + sum[:40]: "", "keyed:" + sum[:32]: "",
		"keyed::" + sum[:32]: "", "reader@example.com": "", sum[:31] + "g": "",
	} {
		got, err := ParseHash(text)
		if got.String() != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrHash) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestParseReason(t *testing.T) {
	for text, want := range map[string]Reason{
		"hard_bounce": HardBounce, "Hard Bounce": HardBounce, "soft-bounce": SoftBounce, "bounce": HardBounce, " SPAM ": Complaint,
		"unsubscribe": Unsubscribed, "unsubscribed": Unsubscribed, "complaint": Complaint, "manual": Manual, "erased": Erased,
		"": "", "hard": "", "550 5.1.1 no such user": "",
	} {
		if got, err := ParseReason(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
