package account_test

import (
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
)

func TestMaySend(t *testing.T) {
	c := account.Credential{FromDomains: []mail.Domain{"example.com", "shop.example.org"}}
	for domain, want := range map[mail.Domain]bool{
		"example.com": true, "news.example.com": true, "shop.example.org": true, "a.shop.example.org": true,
		"example.org": false, "notexample.com": false, "example.com.evil.org": false, "com": false, "": false,
	} {
		if got := c.MaySend(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
	if (account.Credential{}).MaySend("example.com") {
		t.Error("a credential without domains may send")
	}
}

func TestTrack(t *testing.T) {
	for text, want := range map[string]account.Track{
		"none": account.TrackNone, "opens": account.TrackOpens, "clicks": account.TrackClicks, "all": account.TrackAll, "ALL": account.TrackAll,
	} {
		if got, err := account.ParseTrack(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "open", "opens,clicks", "opens "} {
		if got, err := account.ParseTrack(text); err == nil {
			t.Errorf("%q passed as %v", text, got)
		}
	}
	if account.TrackAll&account.TrackOpens == 0 || account.TrackAll&account.TrackClicks == 0 || account.TrackNone != 0 {
		t.Error("the bits do not add up")
	}
	if got := (account.TrackAll | account.TrackText).String(); got != "all and text" {
		t.Error(got)
	}
	if account.Track(9).String() != "track 9" {
		t.Error(account.Track(9))
	}
}
