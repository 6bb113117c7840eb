package certificate_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/tracking/certificate"
)

// FuzzRedirect holds that plain HTTP leads to the place that was asked for, at
// a tracking domain, and nowhere else, whatever is sent.
func FuzzRedirect(f *testing.F) {
	for _, seed := range [][2]string{
		{"t.shop.example", "/c/abc?x=1"},
		{"t.shop.example:80", "//evil.example/%2e%2e"},
		{"evil.example", "/"},
		{"T.shop.example.", "http://evil.example/x"},
		{"[::1]:80", "/\r\nX: y"},
		{"t.shop.example@evil.example", "/\\evil.example"},
	} {
		f.Add(seed[0], seed[1])
	}
	var hosts certificate.Hosts
	const base = "https://t.shop.example:8443"
	hosts.Set([]string{base})
	handler := hosts.Redirect()
	f.Fuzz(func(t *testing.T, host, target string) {
		asked, err := url.ParseRequestURI(target)
		if err != nil || strings.Contains(target, " ") {
			return // no request line holds it
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, &http.Request{Method: http.MethodGet, Host: host, URL: asked})
		location := w.Header().Get("Location")
		if (location == "") != (w.Code == http.StatusNotFound) {
			t.Fatalf("status %d, Location %q", w.Code, location)
		}
		if location == "" {
			return
		}
		leads, err := url.Parse(location)
		if err != nil || leads.Scheme+"://"+leads.Host != base || leads.User != nil || leads.Path != asked.Path || leads.RawQuery != asked.RawQuery || strings.ContainsAny(location, "\r\n ") {
			t.Fatalf("%q at %q leads to %q", target, host, location)
		}
	})
}
