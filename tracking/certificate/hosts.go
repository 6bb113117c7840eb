package certificate

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
)

// ErrUnknownHost: a client asks for a name that is no tracking domain.
var ErrUnknownHost = errors.New("not a tracking domain")

// Hosts are the tracking domains by name. It is safe for concurrent use.
type Hosts struct {
	// current has where each begins at https.
	current atomic.Pointer[map[string]string]
}

// Set replaces them by those of base URLs.
func (h *Hosts) Set(urls []string) {
	named := make(map[string]string, len(urls))
	for _, base := range urls {
		u, err := url.Parse(base)
		if err != nil || u.Hostname() == "" {
			continue // the configuration has none such
		}
		host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		if u.Scheme == "https" {
			named[host] = "https://" + u.Host
		} else if _, taken := named[host]; !taken {
			named[host] = "https://" + host // the port is that of plain HTTP
		}
	}
	h.current.Store(&named)
}

// base returns where a host begins at https; false for a host that is none of
// them.
func (h *Hosts) base(host string) (string, bool) {
	named := h.current.Load()
	if named == nil {
		return "", false
	}
	base, ok := (*named)[strings.ToLower(strings.TrimSuffix(host, "."))]
	return base, ok
}

// issuable reports whether an authority may be asked for a host. It issues to
// names.
func (h *Hosts) issuable(host string) bool {
	_, known := h.base(host)
	_, err := netip.ParseAddr(host)
	return known && err != nil
}

// Redirect answers on plain HTTP: with the same place at https where the host
// is a tracking domain, and with 404 otherwise.
func (h *Hosts) Redirect() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Robots-Tag", "noindex, nofollow")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		base, known := h.base(hostOf(r))
		switch {
		case !known:
			refuse(w, http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			// What was posted in the clear is not to be posted again.
			header.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed)
		default:
			header.Set("Location", base+r.URL.EscapedPath()+query(r.URL))
			w.WriteHeader(http.StatusMovedPermanently)
		}
	})
}

func query(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(http.StatusText(status) + "\n")) // nobody is left to tell of a failure
}

// hostOf is the name that a request is for, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}
