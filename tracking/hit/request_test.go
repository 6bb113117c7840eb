package hit

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// request makes one of fields, as in "Sec-Purpose: prefetch".
func request(method string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, "/c/token", nil)
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	return r
}

func TestRequests(t *testing.T) {
	const apple, gmail = "User-Agent: Mozilla/5.0", "User-Agent: Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	for name, c := range map[string]struct {
		kind   Kind
		method string
		client string
		fields []string
		want   Reason
	}{
		"a browser's click": {Click, "GET", "198.51.100.7", []string{
			"User-Agent: " + firefox, "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1",
		}, Human},
		"without Fetch Metadata":    {Click, "GET", "", []string{"User-Agent: " + firefox}, Human},
		"a browser's image":         {Open, "GET", "198.51.100.7", []string{"User-Agent: " + firefox, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, Human},
		"Gmail's display":           {Open, "GET", "66.249.84.1", []string{gmail}, Human},
		"Gmail's proxy on a link":   {Click, "GET", "66.249.84.1", []string{gmail}, Scanner},
		"Apple's proxy":             {Open, "GET", "104.28.30.1", []string{apple}, AppleProxy},
		"the same on a link":        {Click, "GET", "104.28.30.1", []string{apple}, Scanner},
		"HEAD":                      {Click, "HEAD", "", []string{"User-Agent: " + firefox}, Head},
		"HEAD by a scanner":         {Open, "HEAD", "", []string{"User-Agent: curl/8.5.0"}, Head},
		"Chrome's prefetch":         {Click, "GET", "", []string{"User-Agent: " + firefox, "Sec-Purpose: prefetch;prerender"}, Prefetch},
		"older Chrome's prefetch":   {Click, "GET", "", []string{"User-Agent: " + firefox, "Purpose: prefetch"}, Prefetch},
		"Safari's preview":          {Click, "GET", "", []string{"User-Agent: " + firefox, "X-Purpose: preview"}, Prefetch},
		"Firefox's prefetch":        {Click, "GET", "", []string{"User-Agent: " + firefox, "X-moz: prefetch"}, Prefetch},
		"another purpose":           {Click, "GET", "", []string{"User-Agent: " + firefox, "Purpose: reading"}, Human},
		"a script's fetch":          {Click, "GET", "", []string{"User-Agent: " + firefox, "Sec-Fetch-Mode: cors"}, Script},
		"nothing said":              {Click, "GET", "", nil, NoAgent},
		"blanks":                    {Open, "GET", "", []string{"User-Agent:  "}, NoAgent},
		"Exchange Online":           {Click, "GET", "104.47.55.110", []string{"User-Agent: " + firefox}, Scanner},
		"Barracuda, mapped to IPv6": {Click, "GET", "::ffff:209.222.82.5", []string{"User-Agent: " + firefox}, Scanner},
		"headless":                  {Click, "GET", "", []string{"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36"}, Headless},
	} {
		client, _ := netip.ParseAddr(c.client)
		if got := New(Options{}).Request(c.kind, request(c.method, c.fields...), client); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOptedOut(t *testing.T) {
	for field, want := range map[string]bool{
		"Sec-GPC: 1": true, "DNT: 1": true, "dnt: 1": true, "Sec-GPC: 0": false, "DNT: 0": false, "DNT: null": false, "Accept: 1": false,
	} {
		if got := OptedOut(request("GET", field).Header); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, r := range Reasons() {
		if seen[r.String()] {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.String()] = true
	}
	if Human.String() != "" || reasons.String() != "" || len(seen) != int(reasons) {
		t.Errorf("%d names", len(seen))
	}
}
