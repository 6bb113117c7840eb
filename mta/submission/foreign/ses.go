package foreign

import "strings"

// ses reads X-SES-*.
func (w *Wishes) ses(f Field, key string) error {
	switch key {
	case "configuration-set":
		w.Streams = append(w.Streams, strings.TrimSpace(f.Value))
	case "message-tags":
		for _, pair := range words(f.Value) {
			name, value, ok := strings.Cut(pair, "=")
			if name = strings.TrimSpace(name); !ok || name == "" {
				return bad(f, "is no list of name=value")
			}
			w.keepText(name, strings.TrimSpace(value))
		}
	}
	return nil
}
