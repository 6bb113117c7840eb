package foreign

import (
	"strings"

	"github.com/postrider-mta/postrider/internal/account"
)

// mandrill reads X-MC-*.
func (w *Wishes) mandrill(f Field, key string) error {
	switch key {
	case "track":
		return w.mandrillTrack(f)
	case "tags":
		w.Tags = append(w.Tags, words(f.Value)...)
	case "metadata":
		return w.keepObject(f, []byte(f.Value))
	case "googleanalyticscampaign":
		w.utm("utm_campaign", f.Value)
	case "ippool":
		w.Pools = append(w.Pools, strings.TrimSpace(f.Value))
	case "sendat":
		w.SendAt = strings.TrimSpace(f.Value)
	case "template", "mergevars", "mergelanguage":
		return bad(f, "asks for a template to be filled in, which does not exist here")
	}
	return nil
}

// mandrillTrack reads a list; what is not in it is off.
func (w *Wishes) mandrillTrack(f Field) error {
	opens, clicks, text := Off, Off, Off
	for _, word := range words(strings.ToLower(f.Value)) {
		switch word {
		case "opens":
			opens = On
		case "clicks", "clicks_htmlonly":
			clicks = On
		case "clicks_all":
			clicks, text = On, On
		case "clicks_textonly":
			text = On
		case "none", "false", "no":
		default:
			return bad(f, "knows opens, clicks, clicks_all, clicks_htmlonly, clicks_textonly and none")
		}
	}
	w.track(opens, clicks, text)
	return nil
}

func (w *Wishes) utm(name, value string) {
	if value = strings.TrimSpace(value); value != "" {
		w.UTM = append(w.UTM, account.Parameter{Name: name, Value: value})
	}
}
