package foreign

import "strings"

// postmark reads X-PM-*.
func (w *Wishes) postmark(f Field, key string) error {
	const metadata = "metadata-"
	switch {
	case key == "tag":
		if tag := strings.TrimSpace(f.Value); tag != "" {
			w.Tags = append(w.Tags, tag)
		}
	case key == "trackopens":
		opens, err := yes(f)
		w.track(opens, Unsaid, Unsaid)
		return err
	case key == "tracklinks":
		return w.postmarkLinks(f)
	case key == "message-stream":
		w.Streams = append(w.Streams, strings.TrimSpace(f.Value))
	case strings.HasPrefix(key, metadata) && len(key) > len(metadata):
		w.keepText(f.Name[len("X-PM-Metadata-"):], f.Value)
	}
	return nil
}

func (w *Wishes) postmarkLinks(f Field) error {
	switch strings.ToLower(strings.TrimSpace(f.Value)) {
	case "none", "":
		w.track(Unsaid, Off, Off)
	case "htmlandtext":
		w.track(Unsaid, On, On)
	case "htmlonly":
		w.track(Unsaid, On, Off)
	case "textonly":
		w.track(Unsaid, Off, On)
	default:
		return bad(f, "is not None, HtmlAndText, HtmlOnly or TextOnly")
	}
	return nil
}
