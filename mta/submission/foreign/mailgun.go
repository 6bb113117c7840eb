package foreign

import "strings"

// mailgun reads X-Mailgun-*.
func (w *Wishes) mailgun(f Field, key string) error {
	switch key {
	case "track":
		return w.mailgunTrack(f, true)
	case "track-clicks":
		return w.mailgunTrack(f, false)
	case "track-opens":
		opens, err := yes(f)
		w.track(opens, Unsaid, Unsaid)
		return err
	case "tag":
		w.Tags = append(w.Tags, words(f.Value)...)
	case "campaign-id":
		w.campaign(f.Value)
	case "variables":
		return w.keepObject(f, []byte(f.Value))
	case "deliver-by":
		w.SendAt = strings.TrimSpace(f.Value)
	case "drop-message":
		if drop, err := yes(f); err != nil || drop == On {
			return bad(f, "asks for a test without delivery, which does not exist here")
		}
	case "recipient-variables", "template-name", "template-variables", "template-version":
		return bad(f, "asks for a template to be filled in, which does not exist here")
	}
	return nil
}

// mailgunTrack reads yes, no or htmlonly. Links in plain text are tracked only
// for headers that name them, and this one does not.
func (w *Wishes) mailgunTrack(f Field, opensToo bool) error {
	clicks, text := On, Off
	if !strings.EqualFold(strings.TrimSpace(f.Value), "htmlonly") {
		var err error
		if clicks, err = yes(f); err != nil {
			return err
		}
		if clicks == On {
			text = Unsaid
		}
	}
	opens := Unsaid
	if opensToo {
		opens = clicks
	}
	w.track(opens, clicks, text)
	return nil
}

func (w *Wishes) campaign(name string) {
	if w.Campaign == "" {
		w.Campaign = strings.TrimSpace(name)
	}
}
