package tracking

import (
	"bytes"
	_ "embed" // the texts of the pages
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

//go:embed texts.json
var textsSource []byte

// texts are those of the pages in one language. {tenant}, {address} and {stream}
// stand for names.
type texts struct {
	Unsubscribe    string `json:"unsubscribe"`
	Unsubscribed   string `json:"unsubscribed"`
	Ask            string `json:"ask"`
	AskUnnamed     string `json:"ask_unnamed"`
	Confirmed      string `json:"done"`
	DoneText       string `json:"done_text"`
	Apology        string `json:"failed"`
	Unclear        string `json:"unclear"`
	Again          string `json:"again"`
	Other          string `json:"other"`
	Choices        string `json:"choices"`
	ChoicesFor     string `json:"choices_for"`
	ChoicesUnnamed string `json:"choices_unnamed"`
	Saved          string `json:"saved"`
	StreamOn       string `json:"stream_on"`
	StreamOff      string `json:"stream_off"`
	Stop           string `json:"stop"`
	Resume         string `json:"resume"`
	Everything     string `json:"everything"`
	AllOff         string `json:"all_off"`
	StopAll        string `json:"stop_all"`
	ResumeAll      string `json:"resume_all"`
	Needed         string `json:"needed"`
	Measuring      string `json:"measuring"`
	MeasureOn      string `json:"measure_on"`
	MeasureOff     string `json:"measure_off"`
	MeasureStop    string `json:"measure_stop"`
	MeasureResume  string `json:"measure_resume"`
}

// languages are what there are texts in; the first is for those who ask for
// none of them.
func languages() []string { return []string{"en", "de", "fr", "es", "it"} }

// library has the texts of all languages.
type library struct {
	texts   map[string]texts
	matcher language.Matcher
}

func newLibrary() (*library, error) {
	l := &library{}
	decoder := json.NewDecoder(bytes.NewReader(textsSource))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l.texts); err != nil {
		return nil, fmt.Errorf("texts of the pages: %w", err)
	}
	var tags []language.Tag
	for _, name := range languages() {
		tags = append(tags, language.Make(name))
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

// maxAccept bounds how much of an Accept-Language field is looked at.
const maxAccept = 512

// choose returns the language to speak: the first that the reader's browser asks
// for and there is (RFC 9110 section 12.5.4), else the sender's.
func (l *library) choose(accept, sender string) (name string, t texts) {
	asked, _, err := language.ParseAcceptLanguage(accept[:min(len(accept), maxAccept)])
	if err == nil && len(asked) > 0 {
		if _, i, confidence := l.matcher.Match(asked...); confidence >= language.Low {
			return languages()[i], l.texts[languages()[i]]
		}
	}
	if t, ok := l.texts[sender]; ok {
		return sender, t
	}
	return languages()[0], l.texts[languages()[0]]
}

// fill puts names into a text.
func fill(text, tenant, address, stream string) string {
	return strings.NewReplacer("{tenant}", tenant, "{address}", address, "{stream}", stream).Replace(text)
}
