package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// reader allows what it is.
type reader struct {
	allows account.Measure
	err    error
}

func (r reader) Allowed(string, mail.Address) (account.Measure, error) { return r.allows, r.err }

func (r reader) Person(string, mail.Address) [8]byte { return [8]byte{1} }

// TestMeasureOfRender proves that the most restrictive of tenant, stream,
// message and reader decides, and that not to know is none.
func TestMeasureOfRender(t *testing.T) {
	const (
		individual = account.MeasureIndividual
		aggregate  = account.MeasureAggregate
		hygiene    = account.MeasureHygiene
		none       = account.MeasureNone
	)
	for name, test := range map[string]struct {
		tenant, stream, message account.Measure
		reader                  reader
		want                    string
	}{
		"all allow":          {individual, individual, individual, reader{allows: individual}, "individual"},
		"tenant":             {aggregate, individual, individual, reader{allows: individual}, "aggregate"},
		"stream":             {individual, aggregate, individual, reader{allows: individual}, "aggregate"},
		"message":            {individual, individual, hygiene, reader{allows: individual}, "hygiene"},
		"reader":             {individual, individual, individual, reader{allows: aggregate}, "aggregate"},
		"withdrawn":          {individual, aggregate, individual, reader{allows: none}, ""},
		"nothing in common":  {individual, aggregate, hygiene, reader{allows: individual}, ""},
		"reader not known":   {individual, individual, individual, reader{allows: individual, err: errors.New("disk")}, ""},
		"not said by tenant": {none, individual, individual, reader{allows: individual}, ""},
	} {
		tenant := shop("https://t.example.com")
		tenant.Measure = test.tenant
		stream := tenant.Streams[account.Transactional]
		stream.Measure = test.stream
		tenant.Streams[account.Transactional] = stream
		r, registry := rendered(t, tenants(tenant))
		r.readers = test.reader
		d := owed(t, "shop", account.Transactional, account.TrackAll)
		d.Message.Measure = test.message
		got, err := r.Render(context.Background(), d, []byte(letter))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		measure := ""
		for url := range strings.SplitSeq(string(got.Message), `"`) {
			if o, err := tracking.OpenURL(r.keys, url); err == nil {
				measure = o.Measure
			}
		}
		if measure != test.want || (test.want == "") != (string(got.Message) == letter) {
			t.Errorf("%s: %q\n%s", name, measure, got.Message)
		}
		if failures, _ := testutil.GatherAndCount(registry, "postrider_render_failures_total"); (failures == 1) != (test.reader.err != nil) {
			t.Errorf("%s: %d failures", name, failures)
		}
	}
}

// trackedLink finds the one that is a click in a message.
func trackedLink(t *testing.T, keys *token.Keyring, message string) string {
	t.Helper()
	for url := range strings.SplitSeq(message, `"`) {
		if o, err := tracking.OpenURL(keys, url); err == nil && o.Kind == "click" {
			return url
		}
	}
	t.Fatalf("no link in\n%s", message)
	return ""
}

// TestHygieneClicks proves that where clicks alone are asked for and hygiene is
// all that is allowed, nothing is measured and recipients may share.
func TestHygieneClicks(t *testing.T) {
	r, _ := rendered(t, tenants(shop("https://t.example.com")))
	d := owed(t, "shop", account.Transactional, account.TrackClicks)
	d.Message.Measure = account.MeasureHygiene
	got, err := r.Render(context.Background(), d, []byte(letter))
	if err != nil || string(got.Message) != letter || !r.Shared(d.Message) || got.Personal {
		t.Errorf("%s, %v", got.Message, err)
	}
}
