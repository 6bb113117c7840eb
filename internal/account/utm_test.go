package account_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/internal/account"
)

func TestUTM(t *testing.T) {
	u, err := account.ParseUTM("utm_source=the shop&utm_medium=e%6Dail & utm_campaign={campaign}&x.y-z={tag}&s={stream}+1")
	if err != nil {
		t.Fatal(err)
	}
	filled := u.Fill("Früh&ling=", "marketing", "")
	if got, want := filled.String(), "utm_source=the%20shop&utm_medium=email&utm_campaign=Fr%C3%BCh%26ling%3D&s=marketing%201"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if none := (account.UTM{{Name: "a", Value: "{tag}"}}).Fill("", "", ""); none.String() != "" {
		t.Errorf("%v", none)
	}
	for _, text := range []string{"", "a", "=b", "a=b&", "a=b&a=c", "ä=b", "a b=c", "a=%zz", "a=%0a", "a=%ff", "a=" + strings.Repeat("x", 1025), strings.Repeat("a=b&", 20) + "c=d", "a[0]=b", "a#=b"} {
		if got, err := account.ParseUTM(text); !errors.Is(err, account.ErrUTM) {
			t.Errorf("%q passed as %v", text, got)
		}
	}
}

func TestUTMRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := account.UTM{
			{Name: "utm_" + rapid.StringMatching(`[a-zA-Z0-9_.-]{1,20}`).Draw(t, "name"), Value: rapid.StringMatching(`[^\x00-\x1f\x7f]{0,30}`).Draw(t, "value")},
			{Name: "x", Value: rapid.StringMatching(`[a-z&=+%#?/ ]{0,30}`).Draw(t, "second")},
		}
		got, err := account.ParseUTM(want.String())
		if err != nil || got.String() != want.String() || got[0] != want[0] || got[1] != want[1] {
			t.Fatalf("%v became %v, %v", want, got, err)
		}
	})
}
