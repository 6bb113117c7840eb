package token_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/token"
	"pgregory.net/rapid"
)

// purposes are all there are.
func purposes() []token.Purpose {
	return []token.Purpose{
		token.PurposeClick, token.PurposeOpen, token.PurposeUnsubscribe,
		token.PurposeCountedClick, token.PurposeCountedOpen, token.PurposeLastOpen,
	}
}

// TestEarlierTokens proves that tokens of before there were persons in them open
// as they did, and are still made where there is none.
func TestEarlierTokens(t *testing.T) {
	r := ring(t, 0)
	const message = "012345678901"
	click, err := r.Seal(token.PurposeClick, []byte(message+"\x05\x01example.com/"))
	if err != nil {
		t.Fatal(err)
	}
	want := token.Link{Message: [12]byte([]byte(message)), Index: 5, URL: "https://example.com/"}
	if got, err := r.OpenLink(click); err != nil || got != want {
		t.Errorf("click: %+v, %v", got, err)
	}
	if again, err := r.SealLink(want); err != nil || again != click {
		t.Errorf("click: sealed as another, %v", err)
	}
	pixel, err := r.Seal(token.PurposeOpen, []byte(message+"\x05"))
	if err != nil {
		t.Fatal(err)
	}
	open := token.Open{Message: want.Message, Index: 5}
	if got, err := r.OpenOpen(pixel); err != nil || got != open {
		t.Errorf("open: %+v, %v", got, err)
	}
	if again, err := r.SealOpen(open); err != nil || again != pixel {
		t.Errorf("open: sealed as another, %v", err)
	}
}

// TestCountedRoundTrip proves that what is counted comes back, that everybody's
// link is the same, and that none opens as a link of somebody's.
func TestCountedRoundTrip(t *testing.T) {
	r := ring(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		counted := token.Counted{
			Day: token.Day(rapid.Uint32().Draw(t, "day")), Tenant: rapid.StringN(0, 20, token.MaxName).Draw(t, "tenant"),
			Stream: rapid.StringN(0, 20, token.MaxName).Draw(t, "stream"), Campaign: rapid.StringN(0, 128, 512).Draw(t, "campaign"),
		}
		link := token.CountedLink{Counted: counted, URL: rapid.StringN(1, 200, token.MaxURL).Draw(t, "url")}
		sealed, err := r.SealCountedLink(link)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenCountedLink(sealed); err != nil || got != link {
			t.Fatalf("%+v, %v", got, err)
		}
		if again, _ := r.SealCountedLink(link); again != sealed {
			t.Fatal("two links for one campaign")
		}
		if _, err := r.OpenLink(sealed); !errors.Is(err, token.ErrToken) {
			t.Fatalf("opens as a person's: %v", err)
		}
		pixel, err := r.SealCountedOpen(counted)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenCountedOpen(pixel); err != nil || got != counted {
			t.Fatalf("%+v, %v", got, err)
		}
		last := token.LastOpen{Day: counted.Day, Person: token.Person{1, byte(counted.Day)}}
		if pixel, err = r.SealLastOpen(last); err != nil {
			t.Fatal(err)
		}
		if got, err := r.OpenLastOpen(pixel); err != nil || got != last {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

// TestCountedBounds proves what is refused.
func TestCountedBounds(t *testing.T) {
	r := ring(t, 0)
	long := strings.Repeat("x", 513)
	for name, c := range map[string]token.Counted{
		"tenant": {Tenant: long[:256]}, "stream": {Stream: long[:256]}, "campaign": {Campaign: long},
	} {
		if _, err := r.SealCountedOpen(c); !errors.Is(err, token.ErrPayload) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.SealCountedLink(token.CountedLink{Counted: c, URL: "https://example.com/"}); !errors.Is(err, token.ErrPayload) {
			t.Errorf("%s of a link: %v", name, err)
		}
	}
	if _, err := r.SealCountedLink(token.CountedLink{}); !errors.Is(err, token.ErrPayload) {
		t.Errorf("no URL: %v", err)
	}
	if _, err := r.SealLastOpen(token.LastOpen{Day: 1}); !errors.Is(err, token.ErrPayload) {
		t.Errorf("nobody: %v", err)
	}
}
