package account_test

import (
	"testing"

	"github.com/postrider-mta/postrider/internal/account"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]account.Check{"off": account.CheckOff, "warn": account.CheckWarn, "enforce": account.CheckEnforce} {
		if got, err := account.ParseCheck(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if got, err := account.ParseCheck("default"); err == nil {
		t.Error(got)
	}
	if account.CheckOff >= account.CheckWarn || account.CheckWarn >= account.CheckEnforce || account.Check(7).String() != "check 7" {
		t.Error("the order does not hold")
	}
}

func TestNotices(t *testing.T) {
	for text, want := range map[string]account.Notices{
		"asked": account.NoticesAsked, "off": account.NoticesOff, "failures": account.NoticesFailures, "delays": account.NoticesDelays,
	} {
		if got, err := account.ParseNotices(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if got, err := account.ParseNotices(""); err == nil {
		t.Error(got)
	}
	if account.NoticesAsked != 0 || account.Notices(7).String() != "notices 7" {
		t.Error("the zero value tells what was asked for")
	}
}
