package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/queue"
)

// TestAnswers holds the JSON of each route: it is a public contract.
func TestAnswers(t *testing.T) {
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := queue.NewID(day)
	message := &queue.Message{
		ID: id, Tenant: "shop", Stream: "marketing", Campaign: "november", Size: 10,
		Envelope: mail.Envelope{From: address(t, "shop@shop.example")}, Accepted: day, Expires: day.Add(time.Hour),
	}
	reply := &mail.Reply{Code: 451, Enhanced: mail.EnhancedCode{Class: 4, Subject: 7, Detail: 1}, Text: "later"}
	f := &fake{
		queues: []queue.Status{{
			Key: queue.Key{Tenant: "shop", Stream: "marketing", Domain: "example.net"}, Waiting: 2, Leased: 1, Oldest: day,
		}},
		entries: []queue.Entry{{
			Message: message, Index: 1, Recipient: mail.Recipient{Address: address(t, "reader@example.net")},
			Attempts: 2, Due: day, Leased: true, Last: &event.Event{Reply: reply, Reason: "greylisted"},
		}},
		holds: []queue.Hold{{
			ID: id, Selector: queue.Selector{Message: id, Recipient: address(t, "reader@example.net")}, Reason: "wrong price", Since: day,
		}},
		next: "more", fault: errors.New("disk full"),
	}
	const counts = `{"stores":[{"store":"queue","records":1},{"store":"events","records":2}]}`
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", "/v1/version", "", `{"version":"1.2.3","go":"` + runtime.Version() + `","started":"2023-11-14T22:13:20Z"}`},
		{"GET", "/v1/queues", "", `{"queues":[{"tenant":"shop","stream":"marketing","domain":"example.net","waiting":2,"leased":1,` +
			`"oldest":"2026-03-01T12:00:00Z"}],"recipients":5,"messages":4,"fault":"disk full"}`},
		{"GET", "/v1/sites", "", `[{"site":"mx.example.net","queues":0,"connections":2,"in_flight":0}]`},
		{"GET", "/v1/sites/MX.example.net", "", `{"site":"mx.example.net","queues":0,"connections":0,"in_flight":0,"max_connections":20}`},
		{"GET", "/v1/throttles", "", `[{"site":"mx.example.net","name":"backoff","reason":"refused"}]`},
		{"GET", "/v1/tracking/domains", "", `[{"url":"https://t.example","tenants":["shop"],"status":"working","since":"2026-11-01T00:00:00Z","failures":0}]`},
		{"GET", "/v1/sources", "", `[{"name":"a","ehlo":"a.example"}]`},
		{"POST", "/v1/sources/lift", `{"source":"a"}`, `{"throttles":1}`},
		{"GET", "/v1/diversions", "", `[{"id":"1","selector":{},"pool":"backup","reason":"","since":"0001-01-01T00:00:00Z"}]`},
		{"POST", "/v1/diversions", `{"selector":{"campaign":"november"},"pool":"backup"}`, `{"id":"1","selector":{},"pool":"backup",` +
			`"reason":"diverted by the operator","since":"0001-01-01T00:00:00Z","recipients":6}`},
		{"DELETE", "/v1/diversions/" + id.String(), "", `{}`},
		{"POST", "/v1/throttles/lift", `{"site":"MX.example.net"}`, `{"throttles":2}`},
		{"POST", "/v1/route", `{"destination":"reader@Example.NET"}`, `{"domain":"example.net","site":"mx.example.net"}`},
		{"POST", "/v1/route", `{"destination":"bücher.example"}`, `{"domain":"xn--bcher-kva.example","site":"mx.example.net"}`},
		{"POST", "/v1/why", `{}`, `{"recipients":[{"message":"` + id.String() + `","index":1,"recipient":"reader@example.net",` +
			`"from":"shop@shop.example","tenant":"shop","stream":"marketing","campaign":"november","size":10,` +
			`"accepted":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","attempts":2,"due":"2026-03-01T12:00:00Z","leased":true,` +
			`"last_reply":` + replyJSON(t, reply) + `,"last_reason":"greylisted","state":"due","reasons":["shop"]}],"next":"more"}`},
		{"POST", "/v1/recipients", `{}`, `{"recipients":[{"message":"` + id.String() + `","index":1,"recipient":"reader@example.net",` +
			`"from":"shop@shop.example","tenant":"shop","stream":"marketing","campaign":"november","size":10,` +
			`"accepted":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","attempts":2,"due":"2026-03-01T12:00:00Z","leased":true,` +
			`"last_reply":` + replyJSON(t, reply) + `,"last_reason":"greylisted"}],"next":"more"}`},
		{"POST", "/v1/retry", `{"all":true}`, `{"recipients":2}`},
		{"POST", "/v1/cancel", `{"selector":{"campaign":"november"}}`, `{"recipients":3}`},
		{"GET", "/v1/holds", "", `[{"id":"` + id.String() + `","selector":{"message":"` + id.String() + `","recipient":"reader@example.net"},` +
			`"reason":"wrong price","since":"2026-03-01T12:00:00Z"}]`},
		{"DELETE", "/v1/holds/" + id.String(), "", `{"recipients":4}`},
		{"GET", "/v1/totals", "", `{"accepted":0,"outcomes":{}}`},
		{"POST", "/v1/messages", `{"from":"a@b.example","to":["c@d.example"],"message":"eA=="}`, `{"message":"0123456789abcdefghij"}`},
		{"POST", "/v1/reload", "", `{}`},
		{"POST", "/v1/subjects/find", `{"tenant":"shop","address":"a@b.example"}`, counts},
		{"POST", "/v1/subjects/erase", `{"tenant":"shop","address":"a@b.example"}`, counts},
		{"POST", "/v1/subjects/rectify", `{"tenant":"shop","address":"a@b.example","to":"c@d.example"}`, counts},
	} {
		response, aborted := f.ask(test.method, test.path, test.body)
		if got := strings.TrimSpace(response.Body.String()); response.Code != http.StatusOK || aborted || got != test.want {
			t.Errorf("%s: %d\ngot  %s\nwant %s", test.path, response.Code, got, test.want)
		}
		if kind := response.Header().Get("Content-Type"); kind != "application/json" {
			t.Errorf("%s: %s", test.path, kind)
		}
	}
	if string(f.sent.Message) != "x" || f.reloads != 1 || f.to.String() != "c@d.example" || f.subject.Tenant != "shop" {
		t.Errorf("handed on %+v, %d, %v, %+v", f.sent, f.reloads, f.to, f.subject)
	}
}

func replyJSON(t *testing.T, reply *mail.Reply) string {
	t.Helper()
	if got := reply.String(); got != "451 4.7.1 later" {
		t.Fatalf("reply %q", got)
	}
	return `{"code":451,"enhanced":"4.7.1","text":"later"}`
}

// TestSelectors proves that what was asked for is what the store is asked.
func TestSelectors(t *testing.T) {
	f := &fake{}
	id := queue.NewID(time.Now())
	body := fmt.Sprintf(`{"selector":{"message":%q,"recipient":"A@Example.NET","tenant":"t","stream":"s","campaign":"c","domain":"Example.NET"},"reason":"r"}`, id)
	if response, _ := f.ask("POST", "/v1/cancel", body); response.Code != http.StatusOK {
		t.Fatal(response.Body)
	}
	want := queue.Selector{
		Message: id, Recipient: address(t, "A@example.net"), Tenant: "t", Stream: "s", Campaign: "c", Domain: "example.net",
	}
	if f.selector != want || f.reason != "r" {
		t.Errorf("%+v, %q", f.selector, f.reason)
	}
	f.ask("POST", "/v1/cancel", `{"all":true}`)
	if f.selector != (queue.Selector{}) || f.reason != "cancelled by the operator" {
		t.Errorf("%+v, %q", f.selector, f.reason)
	}
	f.ask("POST", "/v1/recipients", `{"after":"place","limit":7}`)
	if f.limit != 7 || f.reason != "place" {
		t.Errorf("limit %d after %q", f.limit, f.reason)
	}
	if f.ask("POST", "/v1/recipients", `{}`); f.limit != 100 {
		t.Errorf("limit %d", f.limit)
	}
}

// TestRefusals proves that bad input is told what is wrong with it, and that
// nothing is done and nothing logged.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 404, "no such resource"},
		{"GET", "/v1/retry", "", 404, "no such resource"},
		{"POST", "/v1/retry", "", 400, "request body: EOF"},
		{"POST", "/v1/retry", "{", 400, "unexpected EOF"},
		{"POST", "/v1/retry", "[]", 400, "request body: json"},
		{"POST", "/v1/retry", `{"everything":true}`, 400, "unknown field"},
		{"POST", "/v1/retry", `{"all":true}{}`, 400, "more than one value"},
		{"POST", "/v1/retry", `{"all":true} x`, 400, "request body: "},
		{"POST", "/v1/retry", `{}`, 400, "nothing is selected"},
		{"POST", "/v1/cancel", `{"reason":"r"}`, 400, "nothing is selected"},
		{"POST", "/v1/holds", `{"reason":"r"}`, 400, "nothing is selected"},
		{"POST", "/v1/holds", `{"selector":{"recipient":"x"}}`, 400, "recipient: "},
		{"DELETE", "/v1/holds/x", "", 400, "hold: not a message id"},
		{"POST", "/v1/cancel", `{"selector":{"message":"x"}}`, 400, "message: not a message id"},
		{"POST", "/v1/cancel", `{"selector":{"recipient":"x"}}`, 400, "recipient: "},
		{"POST", "/v1/cancel", `{"selector":{"domain":"a b"}}`, 400, "domain: "},
		{"POST", "/v1/recipients", `{"limit":-1}`, 400, "limit is not between"},
		{"POST", "/v1/recipients", `{"limit":10001}`, 400, "limit is not between"},
		{"POST", "/v1/messages", `{"message":"!"}`, 400, "request body: "},
		{"GET", "/v1/events?follow=true", "", 400, "after is not a position"},
		{"GET", "/v1/events?after=-1&follow=true", "", 400, "after is not a position"},
		{"GET", "/v1/events?after=0", "", 400, "follow is not true or false"},
		{"POST", "/v1/subjects/forget", `{"tenant":"t","address":"a@b.example"}`, 404, "no such duty"},
		{"POST", "/v1/subjects/erase", `{"tenant":"t","address":"x"}`, 400, "address: "},
		{"POST", "/v1/subjects/erase", `{"address":"a@b.example"}`, 400, "tenant is missing"},
		{"POST", "/v1/subjects/rectify", `{"tenant":"t","address":"a@b.example"}`, 400, "to: "},
		{"POST", "/v1/subjects/export", `{"tenant":"t"}`, 400, "address: "},
	} {
		f := &fake{}
		response, aborted := f.ask(test.method, test.path, test.body)
		if response.Code != test.status || aborted || !strings.Contains(response.Body.String(), test.want) {
			t.Errorf("%s %s %.60s: %d %.200s", test.method, test.path, test.body, response.Code, response.Body)
		}
		if f.log.Len() > 0 || f.selector != (queue.Selector{}) || f.subject.Tenant != "" {
			t.Errorf("%s %.60s: %+v, log: %s", test.path, test.body, f.selector, f.log.String())
		}
	}
}

// TestTooLarge proves that a request is read as far as it may be.
func TestTooLarge(t *testing.T) {
	server := (&fake{}).server()
	server.LimitRequests(1000)
	body := `{"tenant":"` + strings.Repeat("x", 1000) + `"}`
	for _, path := range []string{"/v1/messages", "/v1/subjects/export"} {
		response, _ := ask(server.Control(), "POST", path, body)
		if response.Code != 413 || !strings.Contains(response.Body.String(), "larger than 1000 octets") {
			t.Errorf("%s: %d %s", path, response.Code, response.Body)
		}
	}
}

// TestFailures proves which status each failure gets, and that only what is
// nobody's doing is logged.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		logged bool
	}{
		{queue.ErrNotFound, 404, false},
		{fmt.Errorf("x: %w", queue.ErrFull), 503, false},
		{queue.ErrUnavailable, 503, false},
		{queue.ErrClosed, 503, false},
		{context.Canceled, 503, false},
		{&api.Error{Status: 422, Message: "broken"}, 422, false},
		{errBroken, 500, true},
	} {
		for _, request := range [][2]string{
			{"/v1/recipients", `{}`},
			{"/v1/retry", `{"all":true}`},
			{"/v1/cancel", `{"all":true}`},
			{"/v1/messages", `{}`},
			{"/v1/subjects/find", `{"tenant":"t","address":"a@b.example"}`},
			{"/v1/subjects/export", `{"tenant":"t","address":"a@b.example"}`},
		} {
			f := &fake{err: test.err}
			response, aborted := f.ask("POST", request[0], request[1])
			if response.Code != test.status || aborted || !strings.Contains(response.Body.String(), `"error":"`) {
				t.Errorf("%v %s: %d %s", test.err, request[0], response.Code, response.Body)
			}
			if (f.log.Len() > 0) != test.logged || strings.Contains(f.log.String(), "b.example") {
				t.Errorf("%v %s: log %q", test.err, request[0], f.log.String())
			}
		}
	}
	f := &fake{err: errBroken}
	if response, _ := f.ask("POST", "/v1/reload", ""); response.Code != 422 || !strings.Contains(response.Body.String(), "broken") {
		t.Errorf("reload: %d %s", response.Code, response.Body)
	}
	for _, path := range []string{"/v1/queues", fmt.Sprint("/v1/events?follow=true&after=", api.Newest)} {
		if response, _ := f.ask("GET", path, ""); response.Code != 500 {
			t.Errorf("%s: %d %s", path, response.Code, response.Body)
		}
	}
}

// TestExport proves that an export is a line a record, and that one that is
// not whole does not look so.
func TestExport(t *testing.T) {
	f := &fake{export: []person.Record{{Kind: "event", Time: time.Unix(0, 0).UTC(), Data: map[string]string{"a": "b"}}, {Kind: "event"}}}
	const subject = `{"tenant":"shop","address":"reader@example.net"}`
	response, aborted := f.ask("POST", "/v1/subjects/export", subject)
	lines := strings.Split(response.Body.String(), "\n")
	if aborted || len(lines) != 3 || lines[0] != `{"store":"events","kind":"event","time":"1970-01-01T00:00:00Z","data":{"a":"b"}}` {
		t.Errorf("%v %q", aborted, lines)
	}
	f.err = errBroken
	if _, aborted = f.ask("POST", "/v1/subjects/export", subject); !aborted {
		t.Error("half an export looks whole")
	}
	f.err = context.Canceled
	if _, aborted = f.ask("POST", "/v1/subjects/export", subject); !aborted {
		t.Error("an export that a stop cut looks whole")
	}
	f.err, f.export = nil, nil
	if response, aborted = f.ask("POST", "/v1/subjects/export", subject); aborted || response.Code != 200 || response.Body.Len() != 0 {
		t.Errorf("nobody: %v %d %s", aborted, response.Code, response.Body)
	}
}

// TestHealth proves that health says that the process runs, and readiness
// that it accepts mail, and that nothing can be changed there.
func TestHealth(t *testing.T) {
	f := &fake{}
	get := func(path string) (int, string) {
		response, _ := ask(f.server().Health(), "GET", path, "")
		return response.Code, response.Body.String()
	}
	if code, body := get("/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("%d %q", code, body)
	}
	f.fault = queue.ErrFull
	if code, body := get("/readyz"); code != 503 || body != "queue storage is full\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _ := get("/v1/queues"); code != 404 {
		t.Errorf("the queues are open to everybody: %d", code)
	}
	if response, _ := ask(f.server().Health(), "POST", "/healthz", ""); response.Code != 405 {
		t.Errorf("POST: %d", response.Code)
	}
}

// FuzzControl holds that no request panics, and that what is refused is
// refused in JSON.
func FuzzControl(f *testing.F) {
	paths := []string{
		"/v1/recipients", "/v1/retry", "/v1/cancel", "/v1/messages", "/v1/reload",
		"/v1/subjects/find", "/v1/subjects/erase", "/v1/subjects/rectify", "/v1/subjects/export",
	}
	for i := range paths {
		f.Add(uint8(i), []byte(`{"selector":{"message":"00000000000000000000","recipient":"\"a b\"@[IPv6:::1]","domain":"."},"limit":1e3,"all":true}`))
		f.Add(uint8(i), []byte(`{"tenant":"t","address":"ü@ü.example","to":["a@b"],"message":"AA=="}`))
		f.Add(uint8(i), []byte(`{"tenant":"t","address":"a@b.example","to":"c@d.example"}`))
		f.Add(uint8(i), []byte("\xff{}[]"))
	}
	control := (&fake{}).server().Control()
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		response, aborted := ask(control, "POST", paths[int(path)%len(paths)], string(body))
		if aborted || response.Code == http.StatusInternalServerError {
			t.Errorf("%d, aborted %v: %s", response.Code, aborted, response.Body)
		}
		if response.Code != http.StatusOK && !strings.HasPrefix(response.Body.String(), `{"status":`) {
			t.Errorf("%d %s", response.Code, response.Body)
		}
	})
}
