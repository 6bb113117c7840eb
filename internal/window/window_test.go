package window_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // so that the zones are there, whatever the host has

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/window"
)

func place(t interface{ Fatal(...any) }, name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestOpens is a table of walls clocks. Berlin is put forward at 2026-03-29
// 02:00 to 03:00, and back at 2026-10-25 03:00 to 02:00.
func TestOpens(t *testing.T) {
	const open = "open"
	for _, tc := range []struct{ windows, zone, now, want string }{
		{"", "Europe/Berlin", "2026-03-02T03:00:00Z", open},
		{"Mon-Fri 08:00-20:00", "UTC", "2026-03-02T08:00:00Z", open},
		{"Mon-Fri 08:00-20:00", "UTC", "2026-03-02T19:59:59.999Z", open},
		{"Mon-Fri 08:00-20:00", "UTC", "2026-03-02T20:00:00Z", "2026-03-03T08:00:00Z"},
		{"Mon-Fri 08:00-20:00", "UTC", "2026-03-02T07:59:59.5Z", "2026-03-02T08:00:00Z"},
		{"Mon-Fri 08:00-20:00", "UTC", "2026-03-06T20:00:00Z", "2026-03-09T08:00:00Z"},
		{"Mon-Fri 08:00-20:00", "Europe/Berlin", "2026-03-02T07:00:00Z", open},
		{"Mon-Fri 08:00-20:00", "Europe/Berlin", "2026-03-02T06:59:00Z", "2026-03-02T07:00:00Z"},
		{"Mon-Fri 08:00-20:00", "Europe/Berlin", "2026-07-02T06:00:00Z", open},
		{"Mon-Fri 08:00-20:00", "Asia/Kolkata", "2026-03-02T02:00:00Z", "2026-03-02T02:30:00Z"},
		// Over midnight, and over the end of the week.
		{"22:00-06:00", "UTC", "2026-03-02T23:00:00Z", open},
		{"22:00-06:00", "UTC", "2026-03-02T05:59:59Z", open},
		{"22:00-06:00", "UTC", "2026-03-02T06:00:00Z", "2026-03-02T22:00:00Z"},
		{"Sun 22:00-06:00", "UTC", "2026-03-02T05:00:00Z", open},
		{"Sun 22:00-06:00", "UTC", "2026-03-03T05:00:00Z", "2026-03-08T22:00:00Z"},
		{"Sat-Mon 10:00-11:00", "UTC", "2026-03-02T11:00:00Z", "2026-03-07T10:00:00Z"},
		{"Mon,Wed 10:00-11:00", "UTC", "2026-03-02T11:00:00Z", "2026-03-04T10:00:00Z"},
		{"Mon 10:00-24:00;Tue 00:00-01:00", "UTC", "2026-03-03T00:30:00Z", open},
		{"00:00-24:00", "Europe/Berlin", "2026-03-29T01:00:00Z", open},
		// The clock is put forward: what begins in the hour that is not there
		// opens with the hour behind it, what lies in it whole does not.
		{"Sun 02:30-03:30", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"Sun 02:30-03:30", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z"},
		{"Sun 02:10-02:50", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-04-05T00:10:00Z"},
		{"Sun 08:00-09:00", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T06:00:00Z"},
		// The clock is put back: the hour comes twice, and so does the window.
		{"Sun 02:30-02:45", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z"},
		{"Sun 02:30-02:45", "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		{"Sun 02:30-02:45", "Europe/Berlin", "2026-10-25T01:45:00Z", "2026-11-01T01:30:00Z"},
		{"Sun 01:00-02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"},
		{"Sun 08:00-09:00", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T07:00:00Z"},
		// A zone with half an hour of daylight saving time, and one that left
		// out a day (Samoa, 2011-12-30).
		{"Sun 02:15-02:20", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-10T15:15:00Z"},
		{"Fri 08:00-09:00", "Pacific/Apia", "2011-12-30T08:00:00Z", "2012-01-05T18:00:00Z"},
	} {
		var windows []string
		if tc.windows != "" {
			windows = strings.Split(tc.windows, ";")
		}
		w, err := window.Parse(windows, place(t, tc.zone))
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		got := open
		if opens := w.Opens(now); !opens.IsZero() {
			got = opens.UTC().Format(time.RFC3339Nano)
		}
		if got != tc.want {
			t.Errorf("%q in %s at %s: %s, want %s", tc.windows, tc.zone, tc.now, got, tc.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "Mon", "Mon-Fri", "Mon 08:00", "Mon 8:00-20:00", "Mon 08:00-25:00", "Mon 08:60-09:00", "Mon 24:00-08:00",
		"Mon 08:00-08:00", "Mond 08:00-20:00", "Mon- 08:00-20:00", ",Mon 08:00-20:00", "Mon  08:00-20:00", "Mon 08:00-20:00 ", "Mon 08:00-20:00-21:00",
		"Mon 08:00 - 20:00", "Mon 24:01-25:00", "Mon +8:00-20:00",
	} {
		if _, err := window.Parse([]string{text}, nil); !errors.Is(err, window.ErrSyntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func zones() []string {
	return []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia"}
}

func windows() *rapid.Generator[string] {
	return rapid.StringMatching(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun)-(Mon|Sat|Sun) (0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]-(0[0-9]|1[0-9]|2[0-3]):[0-5][1-9]`)
}

// TestOpensIsTheFirst proves that what Opens returns is in a window, is not
// past, and that no minute before is in one.
func TestOpensIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(windows(), 1, 3).Draw(t, "windows")
		w, err := window.Parse(texts, place(t, rapid.SampledFrom(zones()).Draw(t, "zone")))
		if err != nil {
			t.Skip("a window of no length")
		}
		now := time.Unix(rapid.Int64Range(1_300_000_000, 1_900_000_000).Draw(t, "now"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		opens := w.Opens(now)
		if opens.IsZero() {
			return
		}
		if opens.Before(now) {
			t.Fatalf("%v opens %s, before %s", texts, opens, now)
		}
		if again := w.Opens(opens); !again.IsZero() {
			t.Fatalf("%v opens %s, where it opens only %s", texts, opens, again)
		}
		for at := now; at.Before(opens); at = at.Add(time.Minute) {
			if !w.Opens(at).Equal(opens) {
				t.Fatalf("%v opens %s by %s, and %s by %s", texts, opens, now, w.Opens(at), at)
			}
		}
	})
}

// FuzzParse holds that what passes opens within eight days.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"Mon-Fri 08:00-20:00", "22:00-06:00", "sat,SUN 00:00-24:00", "Fri-Mon,Wed 10:00-09:59"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := window.Parse([]string{text}, nil)
		now := time.Date(2026, 3, 1, 0, 0, 0, 1, time.UTC)
		if err == nil && w.Opens(now).After(now.AddDate(0, 0, 8)) {
			t.Errorf("%q opens %s", text, w.Opens(now))
		}
	})
}
