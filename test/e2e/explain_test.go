package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/testmx"
)

// TestWaitingMailIsExplained follows a message that a busy site keeps waiting,
// as an operator does, to the site, its throttle and the way out.
func TestWaitingMailIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("busy.example", testmx.Options{
		Rules: []testmx.Rule{{Command: testmx.Connect, Times: 1, Action: testmx.Action{Reply: "421 4.7.0 too busy for you"}}},
	})
	w.start(settings{queue: "retry_first = \"1h\"\nretry_max = \"1h\"\n"})
	id := w.hand(letter(), "reader@busy.example")
	why := func() string { return w.run("why", id) }
	w.await("a throttle", func() bool { return strings.Contains(w.run("throttles", "list"), "too busy for you") })
	if got := why(); !strings.Contains(got, "<reader@busy.example>") || !strings.Contains(got, "too busy for you") || !strings.Contains(got, "busy.example") {
		t.Errorf("why says\n%s", got)
	}
	site := w.siteOf("reader@busy.example")
	if got := w.run("site", site); !strings.Contains(got, "20 connections at once") || !strings.Contains(got, "421 4.7.0 too busy for you") {
		t.Errorf("site says\n%s", got)
	}
	if got := w.fails("throttles", "lift", site, "nosuch"); !strings.Contains(got, `no throttle "nosuch" is in force at site`) {
		t.Errorf("lifting what is not there says %s", got)
	}
	w.run("throttles", "lift", site)
	w.run("queue", "retry", id)
	w.awaitEvent(id, event.Delivered)
	if got := w.fails("why", id); !strings.Contains(got, "are settled") {
		t.Errorf("of what is gone why says %s", got)
	}
}

func (w *world) siteOf(destination string) string {
	w.Helper()
	var route api.Route
	if err := json.Unmarshal([]byte(w.run("--json", "route", destination)), &route); err != nil {
		w.Fatal(err)
	}
	return route.Site
}

// TestRouteIsShown proves that a route, and the lack of one, is told as mail
// would meet it.
func TestRouteIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("there.example", testmx.Options{})
	w.publish("null.example. 60 IN MX 0 .")
	w.start(settings{})
	if got := w.run("route", "reader@there.example"); !strings.Contains(got, fmt.Sprintf(":%d", w.port)) || !strings.Contains(got, "(from dns)") {
		t.Errorf("got\n%s", got)
	}
	for destination, want := range map[string]string{
		"null.example": "556 5.1.10", "reader@nowhere.example": "550 5.1.2", "not a domain": "not a domain",
	} {
		if got := w.fails("route", destination); !strings.Contains(got, want) {
			t.Errorf("route to %q says %s", destination, got)
		}
	}
}

// TestReasonsToWaitAreNamed proves that each reason to wait is named.
func TestReasonsToWaitAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.domain("there.example", testmx.Options{})
	w.start(settings{})
	w.run("queue", "hold", "--tenant", "default", "--reason", "wrong price")
	id := w.hand(letter(), "reader@there.example")
	if got := w.run("why", id); !strings.Contains(got, "state     held") || !strings.Contains(got, "held: wrong price") {
		t.Errorf("a held one:\n%s", got)
	}
	w.run("queue", "release", strings.Fields(w.run("queue", "holds"))[4])
	later := w.hand("X-Postrider-Send-At: "+time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339)+"\r\n"+letter(), "reader@there.example")
	if got := w.run("why", later); !strings.Contains(got, "state     later, in 4") || !strings.Contains(got, "not to be sent before") {
		t.Errorf("one for later:\n%s", got)
	}
	if got := w.fails("why"); !strings.Contains(got, "name a message") {
		t.Errorf("why of nothing says %s", got)
	}
}
