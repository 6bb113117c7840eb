package foreign

import (
	"slices"
	"strings"
)

// Field is a header field: unfolded, encoded-words decoded.
type Field struct{ Name, Value string }

// Names are the vendors, as credentials name them.
func Names() []string { return []string{"sendgrid", "mailgun", "postmark", "mandrill", "ses"} }

// Is reports whether a field's name is that of a vendor's control header.
// Recipients see none of them, understood or not.
func Is(name string) bool { return of(name) != "" }

// of returns whose control header a field is; empty for nobody's.
func of(name string) string {
	const shortest = len("X-PM-")
	if len(name) < shortest || name[0]|0x20 != 'x' || name[1] != '-' {
		return ""
	}
	lower := strings.ToLower(name)
	switch {
	case lower == "x-smtpapi":
		return "sendgrid"
	case strings.HasPrefix(lower, "x-mailgun-"):
		return "mailgun"
	case strings.HasPrefix(lower, "x-pm-"):
		return "postmark"
	case strings.HasPrefix(lower, "x-mc-"):
		return "mandrill"
	case strings.HasPrefix(lower, "x-ses-"):
		return "ses"
	}
	return ""
}

// Read returns what the headers of the enabled vendors ask for; it leaves out
// all other fields. Errors wrap ErrHeader.
func Read(fields []Field, enabled []string) (Wishes, error) {
	var w Wishes
	for _, f := range fields {
		name := of(f.Name)
		if name == "" || !slices.Contains(enabled, name) {
			continue
		}
		if err := w.read(name, f); err != nil {
			return Wishes{}, err
		}
	}
	return w, nil
}

func (w *Wishes) read(name string, f Field) error {
	key := strings.ToLower(f.Name)
	switch name {
	case "sendgrid":
		return w.sendGrid(f)
	case "mailgun":
		return w.mailgun(f, key[len("x-mailgun-"):])
	case "postmark":
		return w.postmark(f, key[len("x-pm-"):])
	case "mandrill":
		return w.mandrill(f, key[len("x-mc-"):])
	}
	return w.ses(f, key[len("x-ses-"):])
}

// yes reads a word for true or false.
func yes(f Field) (Switch, error) {
	switch strings.ToLower(strings.TrimSpace(f.Value)) {
	case "yes", "true", "1", "on":
		return On, nil
	case "no", "false", "0", "off", "none", "":
		return Off, nil
	}
	return Unsaid, bad(f, "is neither yes nor no")
}

// words are what stands between commas.
func words(value string) []string {
	var list []string
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}
