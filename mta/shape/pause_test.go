package shape

import (
	"testing"
	"time"
)

// TestPauseCampaign proves that a campaign is kept from all sites until the end,
// or until it is lifted there, and that nothing else is.
func TestPauseCampaign(t *testing.T) {
	now := start()
	until := now.Add(time.Minute)
	for _, lift := range []bool{false, true} {
		s := New(Options{})
		s.PauseCampaign(now, until, "shop", "spring", "bounces at 12 %")
		s.PauseCampaign(now, until, "shop", "", "too much")
		s.PauseCampaign(now, until, "", "spring", "too much")
		for _, site := range []string{"a.example", "b.example"} {
			found, blocked := s.Blocked(now, Target{Site: site}, "shop", "spring")
			if !blocked || found.Name != ThrottleCampaign || found.Reason != "bounces at 12 %" || !found.Until.Equal(until) || found.Site != AnySite {
				t.Errorf("%s: %+v, %t", site, found, blocked)
			}
			for _, other := range [][2]string{{"shop", "summer"}, {"shop", ""}, {"other", "spring"}} {
				if found, blocked := s.Blocked(now, Target{Site: site}, other[0], other[1]); blocked {
					t.Errorf("%q: %+v", other, found)
				}
			}
		}
		if all := s.Throttles(now); len(all) != 1 || all[0].Campaign != "spring" {
			t.Errorf("%+v", all)
		}
		again := New(Options{})
		if err := again.Import(now, s.Export(now)); err != nil || len(again.Throttles(now)) != 1 {
			t.Errorf("after a restart: %+v, %v", again.Throttles(now), err)
		}
		later := until
		if lift {
			if n := s.Lift(now, AnySite, ThrottleCampaign); n != 1 {
				t.Errorf("%d were lifted", n)
			}
			later = now
		}
		if found, blocked := s.Blocked(later, Target{Site: "a.example"}, "shop", "spring"); blocked {
			t.Errorf("in the end: %+v", found)
		}
	}
}
