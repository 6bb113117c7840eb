package stats

import (
	"testing"

	"github.com/postrider-mta/postrider/event"
)

// TestAggregateHits proves that hits which name no message are counted, raw and
// human, and for no reader, and that a link they follow gets its name.
func TestAggregateHits(t *testing.T) {
	s := openTest(t, Options{MaskBelow: 3, Links: 10})
	var told story
	told.campaign(spring(), 1, 50)
	for n := range 5 {
		e := event.Event{
			Type: event.Clicked, Time: noon(2), Tenant: spring().tenant, Stream: spring().stream, Campaign: spring().campaign,
			URL: "https://shop.example/offers",
		}
		if n == 4 {
			e.Machine = "prefetch"
		}
		told.add(e)
		e.Type, e.URL = event.Opened, ""
		told.add(e)
	}
	if err := s.count(told.records); err != nil {
		t.Fatal(err)
	}
	total := ask(t, s, Query{Group: ByDay}).Total
	if total.Clicks.Raw.Count != 5 || total.Clicks.Human.Count != 4 || total.Clicks.Unique.Count != 0 ||
		total.Opens.Raw.Count != 5 || total.Opens.Human.Count != 4 || total.Opens.Unique.Count != 0 {
		t.Errorf("%+v", total)
	}
	links := ask(t, s, Query{Group: ByLink, Campaign: spring().campaign}).Rows
	if len(links) != 1 || links[0].Link != "https://shop.example/offers" || links[0].Clicks.Human.Count != 4 {
		t.Errorf("%+v", links)
	}
}
