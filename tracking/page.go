package tracking

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
)

// view is what the unsubscribe page shows.
type view struct {
	// Ask shows the form, Done the confirmation, Failed an apology.
	Ask, Done, Failed bool
	// Address is masked: the link may have been forwarded.
	Address string
	Style   template.CSS
}

// page is the unsubscribe page: it works without scripts and loads nothing.
type page struct {
	template *template.Template
	style    template.CSS
	policy   string
}

func newPage() (*page, error) {
	parsed, err := template.New("unsubscribe").Parse(pageSource)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(pageStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	return &page{parsed, template.CSS(pageStyle), policy}, nil
}

// show writes the page and returns the status sent.
func (p *page) show(w http.ResponseWriter, status int, v view) int {
	v.Style = p.style
	var body bytes.Buffer
	if err := p.template.Execute(&body, v); err != nil {
		return refuse(w, http.StatusInternalServerError)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	w.Write(body.Bytes()) // to HEAD net/http sends no body; a reader who left misses nothing
	return status
}
