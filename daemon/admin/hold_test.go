package admin_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/admin"
	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/queue"
)

// TestHold proves that a hold is what was asked for, with an id and a reason.
func TestHold(t *testing.T) {
	for body, want := range map[string]string{
		`{"selector":{"campaign":"november"},"reason":"wrong price"}`: "wrong price",
		`{"selector":{"campaign":"november"}}`:                        "held by the operator",
	} {
		f := &fake{}
		response, _ := f.ask("POST", "/v1/holds", body)
		var hold api.Hold
		if err := json.Unmarshal(response.Body.Bytes(), &hold); err != nil || response.Code != http.StatusOK {
			t.Fatalf("%d %s: %v", response.Code, response.Body, err)
		}
		id, err := queue.ParseID(hold.ID)
		if err != nil || time.Since(id.Time()) > time.Minute || hold.Reason != want || hold.Selector != (api.Selector{Campaign: "november"}) {
			t.Errorf("%+v, %v", hold, err)
		}
		if f.selector != (queue.Selector{Campaign: "november"}) || f.reason != want {
			t.Errorf("the store was asked for %+v, %q", f.selector, f.reason)
		}
	}
}

// TestTotals proves that the totals are those of the metrics.
func TestTotals(t *testing.T) {
	registry := prometheus.NewRegistry()
	accepted := prometheus.NewCounter(prometheus.CounterOpts{Name: "postrider_submission_messages_accepted_total"})
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postrider_delivery_outcomes_total"}, []string{"type"})
	registry.MustRegister(accepted, outcomes)
	accepted.Add(3)
	outcomes.WithLabelValues("delivered").Add(2)
	outcomes.WithLabelValues("bounced").Inc()
	response, _ := ask(admin.New(admin.Options{Gatherer: registry}).Control(), "GET", "/v1/totals", "")
	const want = `{"accepted":3,"outcomes":{"bounced":1,"delivered":2}}` + "\n"
	if response.Body.String() != want {
		t.Errorf("got %s", response.Body)
	}
}
