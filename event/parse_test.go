package event_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
)

// sameAsReflection holds ParseJSON against encoding/json.
func sameAsReflection(t interface{ Errorf(string, ...any) }, text []byte) {
	var want event.Event
	wantErr := json.Unmarshal(text, &want)
	got, err := event.ParseJSON(text)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nis read as %+v, %v\nwant %+v, %v", text, got, err, want, wantErr)
	}
}

func oddJSON() []string {
	return []string{
		"", "{", "{}", "null", "[]", `{"id":1}`, `{"id":"a"} `, `{"id":"a"}x`, ` {"id":"a"}`, `{"ID":"a"}`, `{"id":"a","id":"b"}`,
		`{"id":"\u0041"}`, `{"id":"é"}`, "{\"id\":\"\xff\"}", `{"index":-1}`, `{"index":01}`, `{"index":1e3}`, `{"index":99999999999999999999}`, `{"index":"1"}`,
		`{"time":"2026-03-01T12:30:00.25Z"}`, `{"time":"2026-03-01T12:30:00+01:00"}`, `{"time":"yesterday"}`, `{"time":null}`,
		`{"tags":[]}`, `{"tags":["a"],"tags":["b"]}`, `{"tags":["a",]}`, `{"tags":null}`,
		`{"metadata":{"a":"}\\\""}}`, `{"metadata":[1,2]}`, `{"metadata":17}`, `{"metadata":"x"}`, `{"metadata":{]}`, `{"metadata":{`, `{"metadata": {"a" : 1}}`,
		`{"reply":{"code":250},"reply":{"text":"x"}}`, `{"reply":{}}`, `{"reply":{"enhanced":"5.1"}}`, `{"reply":{"enhanced":"5.1.1","code":550}}`,
		`{"tls":{"version":"TLS 1.3"},"tls":{"cipher":"x"}}`, `{"id":"a",}`, `{"id":"a" "type":"b"}`, `{"unknown":1,"id":"a"}`,
	}
}

func TestParseJSON(t *testing.T) {
	for _, text := range oddJSON() {
		sameAsReflection(t, []byte(text))
	}
	rapid.Check(t, func(r *rapid.T) {
		e := full()
		e.Recipient, e.URL = rapid.String().Draw(r, "recipient"), rapid.String().Draw(r, "url")
		e.Tags = rapid.SliceOfN(rapid.String(), 0, 3).Draw(r, "tags")
		e.Index = rapid.Int().Draw(r, "index")
		e.Time = time.Unix(rapid.Int64Range(0, 1<<33).Draw(r, "second"), rapid.Int64Range(0, 999999999).Draw(r, "nanosecond")).UTC()
		e.Reply.Text = rapid.String().Draw(r, "text")
		if rapid.Bool().Draw(r, "sparse") {
			e.Reply, e.TLS, e.Metadata, e.NextAttempt = &mail.Reply{}, nil, nil, time.Time{}
		}
		text, err := e.AppendJSON(nil)
		if err != nil {
			r.Fatal(err)
		}
		sameAsReflection(r, text)
	})
}

// TestParseJSONIsQuick proves that what events look like is read without
// reflection, which takes some 30 allocations.
func TestParseJSONIsQuick(t *testing.T) {
	e := full()
	e.Rate = nil // that of few events, and of nobody's
	text, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { event.ParseJSON(text) }); n > 12 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, text := range append(oddJSON(), golden, strings.NewReplacer("\n", "", "  ", "", ": ", ":").Replace(golden)) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { sameAsReflection(t, text) })
}

func BenchmarkParseJSON(b *testing.B) {
	e := full()
	e.Rate = nil
	text, err := e.AppendJSON(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		event.ParseJSON(text)
	}
}
