package event_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

// anyEvent draws each field by its type, so that none is forgotten.
func anyEvent(t *rapid.T) event.Event {
	var e event.Event
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		if v.Type().Field(i).Tag.Get("json") == "-" {
			continue
		}
		switch field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(anyTime(t)))
		case json.RawMessage:
			field.Set(reflect.ValueOf(json.RawMessage(rapid.SampledFrom([]string{"", `{"a": "<b>"}`, "null", "{"}).Draw(t, "metadata"))))
		case []string:
			field.Set(reflect.ValueOf(rapid.SliceOf(rapid.String()).Draw(t, "tags")))
		case *mail.Reply:
			if rapid.Bool().Draw(t, "reply") {
				field.Set(reflect.ValueOf(&mail.Reply{
					Code: rapid.IntRange(0, 999).Draw(t, "code"), Text: text(t),
					Enhanced: mail.EnhancedCode{Class: rapid.IntRange(0, 5).Draw(t, "class"), Detail: rapid.IntRange(0, 9).Draw(t, "detail")},
				}))
			}
		case *event.TLS:
			if rapid.Bool().Draw(t, "tls") {
				field.Set(reflect.ValueOf(&event.TLS{Version: text(t), Cipher: text(t), Verified: text(t)}))
			}
		case *event.Rate:
			if rapid.Bool().Draw(t, "rate") {
				field.Set(reflect.ValueOf(&event.Rate{
					Of: text(t), Level: text(t), Count: rapid.IntRange(0, 1<<31).Draw(t, "count"), Sample: rapid.IntRange(0, 1<<31).Draw(t, "sample"),
					Percent: rapid.Float64Range(0, 100).Draw(t, "percent"), Threshold: rapid.Float64Range(0, 100).Draw(t, "threshold"),
					Window: rapid.IntRange(0, 1<<20).Draw(t, "window"), Action: text(t), Hold: text(t), Until: anyTime(t),
				}))
			}
		default:
			if field.Kind() == reflect.String {
				field.SetString(text(t))
			} else {
				field.SetInt(int64(rapid.IntRange(0, math.MaxInt32).Draw(t, "number")))
			}
		}
	}
	return e
}

func text(t *rapid.T) string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "plain text", "<a&b>", "\u2028", "\xff", `"\`, "\x00\x7f"})).Draw(t, "text")
}

func anyTime(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "zero") {
		return time.Time{}
	}
	zone := rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", 25*3600)}).Draw(t, "zone")
	return time.Unix(rapid.Int64Range(-1<<36, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).In(zone)
}

func encode(e event.Event) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func TestAppendJSONIsWhatAnEncoderWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		want, wantErr := encode(e)
		got, err := e.AppendJSON([]byte("before"))
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("error %v, want %v", err, wantErr)
		}
		if err == nil && string(got) != "before"+string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestAppendJSONOfAnEmptyEvent(t *testing.T) {
	var e event.Event
	want, _ := json.Marshal(e)
	if got, err := e.AppendJSON(nil); err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	e := event.Event{
		ID: "01hv-0-1-delivered", Type: event.Delivered, Time: time.Unix(1e9, 5).UTC(), Tenant: "acme", Stream: "marketing",
		Campaign: "spring", Message: "01hv", Recipient: "reader@domain.example", Site: "domain.example", Source: "default", Attempt: 1,
		Reply: &mail.Reply{Code: 250, Enhanced: mail.EnhancedCode{Class: 2}, Text: "queued as 4WxYz"},
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.AppendJSON(make([]byte, 0, 512)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
