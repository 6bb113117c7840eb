package hit

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func recipient(n uint32) Recipient { return Recipient{Message: [12]byte{1, 2, 3}, Index: n} }

func at(milliseconds int) time.Time { return time.UnixMilli(1_800_000_000_000 + int64(milliseconds)) }

func click(index uint32, link string, milliseconds int) Hit {
	return Hit{Kind: Click, Recipient: recipient(index), URL: "https://example.com/" + link, Time: at(milliseconds)}
}

func verdicts(hits []Hit) string {
	var all []string
	for _, h := range hits {
		all = append(all, fmt.Sprintf("%d%s", h.Recipient.Index, h.Machine))
	}
	return strings.Join(all, " ")
}

func TestBursts(t *testing.T) {
	for name, c := range map[string]struct {
		// rounds are sifted one after the other.
		rounds [][]Hit
		want   string
	}{
		"three links at once": {[][]Hit{{click(1, "a", 0), click(1, "b", 300), click(1, "c", 1900)}}, "1burst 1burst 1burst"},
		"two links, in tabs":  {[][]Hit{{click(1, "a", 0), click(1, "b", 100)}}, "1 1"},
		"one link, thrice":    {[][]Hit{{click(1, "a", 0), click(1, "a", 100), click(1, "a", 200)}}, "1 1 1"},
		"three readers":       {[][]Hit{{click(1, "a", 0), click(2, "b", 100), click(3, "c", 200)}}, "1 2 3"},
		"slowly":              {[][]Hit{{click(1, "a", 0), click(1, "b", 1500), click(1, "c", 3000), click(1, "d", 4500)}}, "1 1 1 1"},
		"a reader before":     {[][]Hit{{click(1, "a", 0), click(1, "a", 5000), click(1, "b", 5100), click(1, "c", 5200)}}, "1 1burst 1burst 1burst"},
		"another between":     {[][]Hit{{click(1, "a", 0), click(2, "a", 1), click(1, "b", 2), click(1, "c", 3), click(2, "b", 4)}}, "1burst 2 1burst 1burst 2"},
		"and on":              {[][]Hit{{click(1, "a", 0), click(1, "b", 1), click(1, "c", 2), click(1, "d", 1000), click(1, "b", 1500)}}, "1burst 1burst 1burst 1burst 1burst"},
		"and a reader later":  {[][]Hit{{click(1, "a", 0), click(1, "b", 1), click(1, "c", 2), click(1, "a", 9000)}}, "1burst 1burst 1burst 1"},
		"over two rounds":     {[][]Hit{{click(1, "a", 0), click(1, "b", 1)}, {click(1, "c", 2)}, {click(1, "d", 3)}}, "1 1 1burst 1burst"},
		"opens are not links": {[][]Hit{{{Kind: Open, Recipient: recipient(1), Time: at(0)}, click(1, "a", 1), click(1, "b", 2), {Kind: Open, Recipient: recipient(1), Time: at(3)}}}, "1 1 1 1"},
		"known machines do not count": {[][]Hit{{
			{Kind: Click, Machine: Head, Recipient: recipient(1), URL: "a", Time: at(0)}, click(1, "b", 1), click(1, "c", 2),
		}}, "1head 1 1"},
	} {
		classifier := New(Options{})
		var got []string
		for _, hits := range c.rounds {
			classifier.Sift(hits)
			got = append(got, verdicts(hits))
		}
		if all := strings.Join(got, " "); all != c.want {
			t.Errorf("%s: %s, want %s", name, all, c.want)
		}
	}
}

func TestTooSoon(t *testing.T) {
	c := New(Options{TooSoon: 3 * time.Second})
	c.Delivered([]Delivery{{recipient(1), at(10_000)}, {recipient(2), at(10_000)}})
	hits := []Hit{
		click(1, "a", 9_900), click(1, "a", 12_999), click(1, "a", 13_000),
		{Kind: Open, Recipient: recipient(2), Time: at(10_001)},
		{Kind: Open, Machine: AppleProxy, Recipient: recipient(2), Time: at(10_002)},
		click(3, "a", 10_001), // of whose delivery nobody was told
		click(1, "a", 10_000-int(longestTalk.Milliseconds())),
	}
	c.Sift(hits)
	if got, want := verdicts(hits), "1too-soon 1too-soon 1 2too-soon 2apple-privacy-proxy 3 1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// A burst is one whether it comes too soon or not.
	burst := []Hit{click(2, "a", 12_000), click(2, "b", 12_500), click(2, "c", 13_500)}
	c.Sift(burst)
	if got, want := verdicts(burst), "2burst 2burst 2burst"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	off := New(Options{TooSoon: -1})
	off.Delivered([]Delivery{{recipient(1), at(0)}})
	none := []Hit{click(1, "a", 1)}
	off.Sift(none)
	if none[0].Machine != Human {
		t.Errorf("switched off: %s", none[0].Machine)
	}
}

// TestTimeOfTheClock holds the windows against a clock that runs.
func TestTimeOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{})
		sift := func() Reason {
			hits := []Hit{{Kind: Click, Recipient: recipient(1), URL: "https://example.com/", Time: time.Now()}}
			c.Sift(hits)
			return hits[0].Machine
		}
		c.Delivered([]Delivery{{recipient(1), time.Now()}})
		if got := sift(); got != TooSoon {
			t.Errorf("at once: %q", got)
		}
		time.Sleep(defaultTooSoon - time.Nanosecond)
		if got := sift(); got != TooSoon {
			t.Errorf("just before: %q", got)
		}
		time.Sleep(time.Nanosecond)
		if got := sift(); got != Human {
			t.Errorf("then: %q", got)
		}
	})
}

// TestManyClicksOfOne proves that a token in the wrong hands costs no more than
// any other.
func TestManyClicksOfOne(t *testing.T) {
	c := New(Options{TooSoon: time.Minute})
	c.Delivered([]Delivery{{recipient(1), at(0)}})
	hits := make([]Hit, 300_000)
	for i := range hits {
		hits[i] = click(1, string(rune('a'+i%4)), i/300)
	}
	c.Sift(hits) // with a walk back for each it would not end
	for i := range hits {
		if hits[i].Machine != Burst {
			t.Fatalf("%d: %q", i, hits[i].Machine)
		}
	}
}
