package delivery

import (
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/mta/route"
	"github.com/postrider-mta/postrider/mta/smtpclient"
)

// via is between whom an attempt was made, as far as it came.
type via struct {
	site, source, host string
	tls                *event.TLS
}

func (v via) describe(e *event.Event) {
	e.Site, e.Source, e.Host, e.TLS = v.site, v.source, v.host, v.tls
}

func (l *lane) via() via { return via{site: l.site.name, source: l.key.source} }

// protection says under what a host was spoken to; nil for nothing.
func protection(s smtpclient.Security, h *route.Host) *event.TLS {
	if s.Version == "" {
		return nil
	}
	made := &event.TLS{Version: s.Version, Cipher: s.Cipher}
	if s.Verified() {
		made.Verified = h.TLS.Basis()
	}
	return made
}

// via tells of the connection too, where there is one.
func (w *worker) via() via {
	v := w.lane.via()
	if w.session != nil {
		v.host, v.tls = w.host.Name, w.tls
	}
	return v
}
