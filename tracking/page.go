package tracking

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"

	"github.com/postrider-mta/postrider/internal/mail"
)

// view is what a page shows. Its sentences are whole: names are in them.
type view struct {
	texts
	// Language of the texts.
	Language string
	// Ask shows the form, Done the confirmation, Failed an apology.
	Ask, Done, Failed bool
	// Question and Answer speak of the address, which is masked: the link may
	// have been forwarded.
	Question, Answer string
	// More leads to the page of choices; empty where there is none.
	More  string
	Style template.CSS

	// Of the page of choices alone.
	Outcome             outcome
	Streams             []streamView
	AllLeft, Unmeasured bool
}

// streamView is one stream on the page of choices.
type streamView struct {
	Name, DisplayName, Stop, Resume string
	Left                            bool
}

// outcome says what became of a choice.
type outcome string

const (
	outcomeNone    outcome = ""
	outcomeSaved   outcome = "saved"
	outcomeFailed  outcome = "failed"
	outcomeUnclear outcome = "unclear"
)

// page makes the pages for people: they work without scripts and load nothing.
type page struct {
	unsubscription *template.Template
	choices        *template.Template
	library        *library
	style          template.CSS
	policy         string
}

func newPage() (*page, error) {
	unsubscription, err := template.New("unsubscribe").Parse(pageSource)
	if err != nil {
		return nil, err
	}
	choices, err := template.New("choices").Parse(choicesSource)
	if err != nil {
		return nil, err
	}
	library, err := newLibrary()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(pageStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	return &page{unsubscription, choices, library, template.CSS(pageStyle), policy}, nil
}

// unsubscribe writes the page behind an unsubscribe link, and returns the status
// sent.
func (p *page) unsubscribe(w http.ResponseWriter, r *http.Request, status int, v view, from Choices, address mail.Address) int {
	v.Language, v.texts = p.library.choose(r.Header.Get("Accept-Language"), from.Language)
	question := v.texts.Ask
	if from.Tenant == "" {
		question = v.AskUnnamed
	}
	v.Question = fill(question, from.Tenant, address.Masked(), "")
	v.Answer = fill(v.DoneText, from.Tenant, address.Masked(), "")
	return p.show(w, p.unsubscription, status, v)
}

// preferences writes the page of choices.
func (p *page) preferences(w http.ResponseWriter, r *http.Request, status int, o outcome, c Choices, address mail.Address) int {
	v := view{Outcome: o, AllLeft: c.AllLeft, Unmeasured: c.Unmeasured}
	v.Language, v.texts = p.library.choose(r.Header.Get("Accept-Language"), c.Language)
	question := v.ChoicesFor
	if c.Tenant == "" {
		question = v.ChoicesUnnamed
	}
	v.Question = fill(question, c.Tenant, address.Masked(), "")
	for _, s := range c.Streams {
		v.Streams = append(v.Streams, streamView{
			s.Name, s.DisplayName, fill(v.Stop, "", "", s.DisplayName), fill(v.Resume, "", "", s.DisplayName), s.Left,
		})
	}
	return p.show(w, p.choices, status, v)
}

// show writes a page and returns the status sent.
func (p *page) show(w http.ResponseWriter, t *template.Template, status int, v view) int {
	v.Style = p.style
	var body bytes.Buffer
	if err := t.Execute(&body, v); err != nil {
		return refuse(w, http.StatusInternalServerError)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Language)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	w.Write(body.Bytes()) // to HEAD net/http sends no body; a reader who left misses nothing
	return status
}
