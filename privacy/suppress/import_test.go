package suppress

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func (f *fixture) importText(t testing.TB, text string, o Import) Imported {
	t.Helper()
	if o.Tenant == "" {
		o.Tenant = "acme"
	}
	if o.Format == "" {
		o.Format = CSV
	}
	done, err := f.Import(context.Background(), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// all lists the entries of a tenant.
func (f *fixture) all(t testing.TB, tenant string) (all []Entry) {
	t.Helper()
	err := f.Each(context.Background(), Selector{Tenant: tenant}, func(e *Entry) error {
		all = append(all, *e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportCSV(t *testing.T) {
	f := newTest(t)
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	list := "\ufeffAddress,reason,stream,time,expires,hash\r\n" +
		"One@Example.com,unsubscribe,marketing,2026-03-01T12:00:00Z,,\r\n" +
		"\r\n" +
		"\"\"\"odd, one\"\"@example.com\",,,2026-03-01,,\r\n" +
		",Hard Bounce,,," + later.Format(time.RFC3339) + "," + hexMD5("two@example.com") + "\r\n" +
		"old@example.com,manual,,,2020-01-01,\r\n"
	for i, want := range []Imported{{Added: 3, Expired: 1}, {Known: 3, Expired: 1}} {
		if done := f.importText(t, list, Import{Reason: Complaint}); !reflect.DeepEqual(done, want) {
			t.Errorf("time %d: %+v", i, done)
		}
	}
	got, _ := f.check(t, "acme", "marketing", "one@example.com")
	want := Entry{
		Tenant: "acme", Stream: "marketing", Address: address(t, "One@example.com"), Reason: Unsubscribed,
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, _ := f.check(t, "acme", "marketing", `"odd, one"@example.com`); got.Reason != Complaint || got.Time.Day() != 1 {
		t.Errorf("quoted: %+v", got)
	}
	if got, _ := f.check(t, "acme", "", "two@example.com"); got.Reason != HardBounce || !got.Expires.Equal(later) {
		t.Errorf("hashed: %+v", got)
	}
}

func TestImportOneColumn(t *testing.T) {
	for _, list := range []string{"one@example.com\ntwo@example.com", "email\none@example.com\ntwo@example.com\n"} {
		f := newTest(t)
		if done := f.importText(t, list, Import{Stream: "digest", Tenant: AllTenants}); done.Added != 2 {
			t.Errorf("%+v", done)
		}
		for _, to := range []string{"one@example.com", "two@example.com"} {
			if got, found := f.check(t, "acme", "digest", to); !found || got.Reason != Manual || got.Tenant != AllTenants {
				t.Errorf("%s: %+v", to, got)
			}
		}
	}
	if done := newTest(t).importText(t, "", Import{}); done.Added != 0 {
		t.Errorf("nothing: %+v", done)
	}
}

func TestImportJSON(t *testing.T) {
	f := newTest(t)
	done := f.importText(t, `{"address":"one@example.com","reason":"unsubscribed","stream":"marketing","time":"2026-03-01T12:00:00Z"}
{"tenant":"acme","hash":"`+hexSHA256("two@example.com")+`"}

{"tenant":"rival","address":"three@example.com"}
{"address":"secret@example.com","colour":"red"}
{"address":"secret"}
{"hash":"secret"}
{"address":7}
{"address":"one@example.com"} {}
secret
`, Import{Format: JSONLines})
	if done.Added != 2 || done.Refused != 7 || len(done.Problems) != 7 {
		t.Fatalf("%+v", done)
	}
	want := []string{
		"4: invalid suppression: it is another tenant's",
		"5: invalid suppression: it has a field that is none of an entry's",
		"6: invalid address: no @",
		"7: invalid hash of an address: it is neither 64 nor 32 hexadecimal digits, nor what an export shows",
		"8: invalid suppression: address is no mail.Address",
		"9: invalid suppression: more than one value",
		"10: invalid suppression: not JSON as an export writes it",
	}
	for i, p := range done.Problems {
		if got := fmt.Sprintf("%d: %s", p.Line, p.Err); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
}

// Lines that cannot be kept are reported, by number and without a word of what
// they hold, and keep no other from its place.
func TestImportReports(t *testing.T) {
	f := newTest(t)
	list := "address,reason,expires\n" +
		"secret,manual,\n" +
		"secret@example.com,secret,\n" +
		"secret@example.com,manual,secret\n" +
		"secret@example.com,unsubscribed,2999-01-01\n" +
		"secret@example.com,manual\n" +
		"\"secret@example.com,manual,\n" +
		"secret\"@example.com,manual,\n" +
		",manual,\n" +
		strings.Repeat("secret\n", 30) +
		"good@example.com,manual,\n"
	done := f.importText(t, list, Import{})
	if done.Added != 1 || done.Refused != 38 || len(done.Problems) != maxProblems {
		t.Fatalf("%+v", done)
	}
	for i, p := range done.Problems {
		if p.Line != i+2 || strings.Contains(p.Err.Error(), "secret") {
			t.Errorf("problem %d: line %d: %v", i, p.Line, p.Err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	f := newTest(t)
	for name, list := range map[string]string{
		"unknown column": "address,colour\n", "twice": "address,email\n", "no address": "reason,time\n",
		"long line": "address\n" + strings.Repeat("x", maxLine+1), "bad heading": "\"address,x\n",
	} {
		_, err := f.Import(t.Context(), strings.NewReader(list), Import{Format: CSV, Tenant: "acme"})
		if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	if _, err := f.Import(t.Context(), io.MultiReader(strings.NewReader("address\na@b.example\n"), failing{broken}), Import{Format: CSV, Tenant: "acme"}); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Import(ctx, strings.NewReader("a@b.example"), Import{Format: CSV, Tenant: "acme"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What is written down is read again as it was, and adds nothing to what is
// there.
func TestExportAndImport(t *testing.T) {
	for _, format := range []Format{CSV, JSONLines} {
		f := newTest(t)
		f.add(t, entry(t, "marketing", "one@example.com", Unsubscribed), entry(t, "", `"odd, \" one"@example.com`, Manual),
			expiring(t, "two@example.com", HardBounce, time.Hour),
			Entry{Tenant: "acme", Hash: parsedHash(t, hexSHA256("three@example.com")), Reason: Manual, Time: time.Now()},
			Entry{Tenant: "acme", Hash: parsedHash(t, hexMD5("four@example.com")), Reason: Complaint, Time: time.Now()})
		if _, err := f.Erase(t.Context(), subject(t, "five@example.com")); err != nil {
			t.Fatal(err)
		}
		before := f.all(t, "acme")
		var list bytes.Buffer
		writer, err := NewWriter(&list, format)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Each(t.Context(), Selector{Tenant: "acme"}, writer.Write), writer.Flush()); err != nil {
			t.Fatal(err)
		}
		if done := f.importText(t, list.String(), Import{Format: format}); done.Known != len(before) || done.Added+done.Refused > 0 {
			t.Errorf("%s, again: %+v\n%s", format, done, list.String())
		}
		for _, to := range []string{"one", "two", "three", "four", "five", `"odd, \" one"`} {
			if _, err := f.Remove(t.Context(), Selector{Tenant: "acme", Address: address(t, to+"@example.com")}); err != nil {
				t.Fatal(err)
			}
		}
		if done := f.importText(t, list.String(), Import{Format: format}); done.Added != len(before) {
			t.Errorf("%s, anew: %+v", format, done)
		}
		after := f.all(t, "acme")
		for i := range before {
			if format == CSV {
				before[i].Source = "" // which has no column
			}
		}
		if !reflect.DeepEqual(after, before) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", format, after, before)
		}
		if done := f.importText(t, list.String(), Import{Format: format, Tenant: "rival"}); done.Refused < 3 {
			t.Errorf("%s: another tenant takes keyed hashes: %+v", format, done)
		}
	}
}

// A list longer than what is sorted at once, with entries twice.
func TestImportInParts(t *testing.T) {
	f := newTest(t)
	const n = 4000
	var list bytes.Buffer
	if err := errors.Join(writeList(&list, 0, n), writeList(&list, 0, 1)); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(list.String(), "\naddress,", "\n#", 1)
	job := &importJob{store: f.Store, options: Import{Tenant: "acme", Reason: Manual}, now: time.Now()}
	job.sorted.limit = 50_000
	lines, err := newReader(strings.NewReader(text), CSV)
	for err == nil {
		err = job.read(t.Context(), lines)
	}
	if !errors.Is(err, io.EOF) || job.flush(t.Context()) != nil {
		t.Fatal(err)
	}
	if job.done.Added != n || job.done.Known != 1 || job.done.Refused != 1 || len(f.all(t, "acme")) != n {
		t.Errorf("%+v", job.done)
	}
}

// FuzzSplitCSV compares with the library where a field ends on its line.
func FuzzSplitCSV(f *testing.F) {
	for _, seed := range []string{"a,b", `"a","b"`, `"a""b",`, `,,"x"`, `"a`, `"a"b`, "a\"b", `"a,b",c`, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || line == "" {
			t.Skip()
		}
		got, err := splitCSV([]byte(line), nil)
		want, wantErr := csv.NewReader(strings.NewReader(line)).Read()
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, %v; want %q, %v", line, got, err, want, wantErr)
		}
	})
}

// FuzzImport proves that no list breaks anything, and that what it adds is
// known the second time.
func FuzzImport(f *testing.F) {
	f.Add("address,reason,stream,time,expires,hash\na@b.example,manual,,,,\n", "csv")
	f.Add("a@b.example\n", "csv")
	f.Add(`{"address":"a@b.example","reason":"manual"}`, "json")
	f.Add(`{"hash":"md5:0123456789abcdef0123456789abcdef","expires":"2999-01-01T00:00:00Z"}`, "json")
	store := newTest(f)
	f.Fuzz(func(t *testing.T, list, format string) {
		parsed, err := ParseFormat(format)
		if err != nil {
			t.Skip()
		}
		o := Import{Format: parsed, Tenant: "acme"}
		first, err := store.Import(t.Context(), strings.NewReader(list), o)
		if err != nil {
			return
		}
		again, err := store.Import(t.Context(), strings.NewReader(list), o)
		if err != nil || again.Added != 0 || again.Known != first.Added+first.Known || again.Refused != first.Refused {
			t.Errorf("first %+v, then %+v, %v", first, again, err)
		}
	})
}
