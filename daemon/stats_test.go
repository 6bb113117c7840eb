package daemon

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event/stats"
)

// TestStatisticsOff proves that they can be turned off: nothing is written, what
// asks is told, and the privacy duties go on.
func TestStatisticsOff(t *testing.T) {
	s := newSite(t, basic+"[statistics]\nenabled = false\n")
	d, _ := s.started()
	_, err := statistician{d}.Report(context.Background(), api.StatsRequest{By: "day"})
	var failure *api.Error
	if !errors.As(err, &failure) || failure.Status != http.StatusNotFound {
		t.Errorf("answered %v", err)
	}
	if _, err := os.Stat(s.path("data/stats.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	if _, err := d.holders.Expire(context.Background(), d.started); err != nil {
		t.Error(err)
	}
}

// TestStatisticsAreAsked proves that a request reaches them whole.
func TestStatisticsAreAsked(t *testing.T) {
	d, _ := newSite(t, basic+"[statistics]\nmask_below = 7\n").started()
	answer, err := statistician{d}.Report(context.Background(), api.StatsRequest{By: "link", From: "2026-03-01", To: "2026-03-02", Limit: 3})
	if err != nil || answer.MaskBelow != 7 || answer.Rows == nil {
		t.Errorf("%+v, %v", answer, err)
	}
	for _, request := range []api.StatsRequest{{By: "week"}, {By: "day", From: "soon"}} {
		if _, err := (statistician{d}).Report(context.Background(), request); err == nil {
			t.Errorf("%+v was answered", request)
		}
	}
}

func TestPresentStats(t *testing.T) {
	hits := stats.Hits{Raw: stats.Figure{Count: 30}, Human: stats.Figure{Count: 12, AtLeast: true}, Unique: stats.Figure{Below: 10}}
	row := presentStatsRow(&stats.Row{
		Tenant: "a", Stream: "b", Campaign: "c", Day: "d", Accepted: 1, Sent: 2, Delivered: 3, Deferred: 4, Bounced: 5,
		Bounces: map[string]int64{"spam": 5}, Expired: 6, Dropped: 7, Opens: hits, Clicks: hits, Unsubscribed: stats.Figure{Count: 8}, Complained: stats.Figure{Count: 9},
	})
	if m := row.Mail; m == nil || m.Accepted+m.Sent+m.Delivered+m.Deferred+m.Bounced+m.Expired+m.Dropped != 28 || m.Bounces["spam"] != 5 {
		t.Errorf("%+v", row.Mail)
	}
	if row.Tenant+row.Stream+row.Campaign+row.Day != "abcd" || row.Opens.Human.String() != "12+" || row.Clicks.Unique.String() != "<10" ||
		row.Unsubscribed.Count != 8 || row.Complained.Count != 9 {
		t.Errorf("%+v", row)
	}
	if link := presentStatsRow(&stats.Row{Link: "https://a.example/", Clicks: hits}); link.Mail != nil || link.Opens != nil || link.Clicks.Raw.Count != 30 {
		t.Errorf("%+v", link)
	}
}
