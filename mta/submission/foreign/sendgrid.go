package foreign

import (
	"encoding/json"
	"strings"
)

// smtpAPI is what X-SMTPAPI may hold.
type smtpAPI struct {
	To         json.RawMessage            `json:"to"`
	Sub        map[string]json.RawMessage `json:"sub"`
	Section    map[string]json.RawMessage `json:"section"`
	Category   json.RawMessage            `json:"category"`
	UniqueArgs json.RawMessage            `json:"unique_args"`
	Filters    map[string]smtpFilter      `json:"filters"`
	SendAt     json.Number                `json:"send_at"`
	SendEachAt json.RawMessage            `json:"send_each_at"`
	Pool       string                     `json:"ip_pool"`
}

type smtpFilter struct {
	Settings map[string]json.RawMessage `json:"settings"`
}

// sendGrid reads X-SMTPAPI, a JSON object.
func (w *Wishes) sendGrid(f Field) error {
	var api smtpAPI
	if err := json.Unmarshal([]byte(f.Value), &api); err != nil {
		return bad(f, "is no JSON object of the form that is documented")
	}
	switch {
	case given(api.To):
		return bad(f, "names recipients: name them in the envelope")
	case len(api.Sub) > 0 || len(api.Section) > 0:
		return bad(f, "asks for substitutions, which do not exist here")
	case given(api.SendEachAt):
		return bad(f, "has a time for each recipient, which does not exist here")
	}
	if err := w.categories(f, api.Category); err != nil {
		return err
	}
	if given(api.UniqueArgs) {
		if err := w.keepObject(f, api.UniqueArgs); err != nil {
			return err
		}
	}
	if api.SendAt != "" {
		w.SendAt = api.SendAt.String()
	}
	if api.Pool != "" {
		w.Pools = append(w.Pools, api.Pool)
	}
	return w.filters(f, api.Filters)
}

func given(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// categories are a name or a list of such.
func (w *Wishes) categories(f Field, value json.RawMessage) error {
	var one string
	var list []string
	switch {
	case !given(value):
	case json.Unmarshal(value, &one) == nil:
		list = []string{one}
	case json.Unmarshal(value, &list) != nil:
		return bad(f, "has a category that is neither text nor a list of texts")
	}
	for _, category := range list {
		if category = strings.TrimSpace(category); category != "" {
			w.Tags = append(w.Tags, category)
		}
	}
	return nil
}

// filters are the switches that SendGrid calls apps. Of subscriptiontrack the
// form is checked and no more: whether List-Unsubscribe is added is the
// stream's rule, which also decides what is done with those who used it.
func (w *Wishes) filters(f Field, filters map[string]smtpFilter) error {
	for name, filter := range filters {
		enable, err := filter.flag(f, "enable")
		if err != nil {
			return err
		}
		switch strings.ToLower(name) {
		case "opentrack":
			w.track(enable, Unsaid, Unsaid)
		case "clicktrack":
			text, err := filter.flag(f, "enable_text")
			if err != nil {
				return err
			}
			if enable != On && text == On || enable == Off {
				text = enable
			}
			w.track(Unsaid, enable, text)
		case "ganalytics":
			if enable == On {
				w.analytics(filter)
			}
		case "template", "templates":
			if enable == On {
				return bad(f, "asks for a template to be filled in, which does not exist here")
			}
		case "bypass_list_management":
			if enable == On {
				return bad(f, "asks to mail those who left, which does not exist here")
			}
		}
	}
	return nil
}

// flag reads 1, "1" or true, and their opposites.
func (s smtpFilter) flag(f Field, name string) (Switch, error) {
	value, ok := s.Settings[name]
	if !ok {
		return Unsaid, nil
	}
	on, err := yes(Field{f.Name, strings.Trim(string(value), `"`)})
	if err != nil {
		return Unsaid, bad(f, "has a filter whose %s is neither 1 nor 0", name)
	}
	return on, nil
}

func (w *Wishes) analytics(s smtpFilter) {
	for _, name := range []string{"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"} {
		var text string
		if json.Unmarshal(s.Settings[name], &text) == nil {
			w.utm(name, text)
		}
	}
}
