package tracking

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/tracking/token"
)

const (
	// maxForm bounds the body of an unsubscribe request, in octets.
	maxForm = 16 << 10
	// unsubscribeTimeout leaves time for an answer before the server's own
	// limit.
	unsubscribeTimeout = 15 * time.Second
)

// unsubscribe shows the page, and acts on a POST: that of a mail program (RFC
// 8058) or that of the page's form, which are the same.
func (t *Tracker) unsubscribe(w http.ResponseWriter, r *http.Request, sealed string) int {
	u, address, err := t.openUnsubscribe(sealed)
	if err != nil {
		return notFound(w)
	}
	show := func(status int, v view) int {
		if t.choices != nil {
			v.More = ".." + preferencesPath + sealed
		}
		return t.page.unsubscribe(w, r, status, v, t.sender(u, address), address)
	}
	if r.Method != http.MethodPost {
		return show(http.StatusOK, view{Ask: true})
	}
	if !oneClick(w, r) {
		return show(http.StatusBadRequest, view{Ask: true})
	}
	if err := t.leave(r, u, address); err != nil {
		t.logger.ErrorContext(r.Context(), "unsubscribe failed", "tenant", u.Tenant, "stream", u.Stream, "message", MessageText(u.Message), "index", u.Index, "error", err)
		w.Header().Set("Retry-After", "60")
		return show(http.StatusServiceUnavailable, view{Failed: true, Ask: true})
	}
	return show(http.StatusOK, view{Done: true})
}

// leave ends the subscription durably, then tells of it.
func (t *Tracker) leave(r *http.Request, u token.Unsubscribe, address mail.Address) error {
	// A client that hangs up has asked all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), unsubscribeTimeout)
	defer cancel()
	err := t.unsubscriber.Unsubscribe(ctx, u.Tenant, u.Stream, address, MessageText(u.Message), int(u.Index))
	if err != nil {
		return err
	}
	e := t.recorder.newEvent(event.Unsubscribed, u.Message, u.Index)
	e.Tenant, e.Stream, e.Recipient = u.Tenant, u.Stream, address.String()
	t.recorder.add(e)
	return nil
}

// oneClick reports whether the body is that of RFC 8058 section 3.1, in either
// encoding.
func oneClick(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return false
	case media == "multipart/form-data":
		if r.ParseMultipartForm(maxForm) != nil {
			return false
		}
	case media != "application/x-www-form-urlencoded" || r.ParseForm() != nil:
		return false
	}
	return strings.EqualFold(r.PostForm.Get("List-Unsubscribe"), "One-Click")
}
