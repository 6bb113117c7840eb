package rewrite

import (
	"strings"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// isOptOut knows the attributes by which authors exempt a link from tracking,
// ours and those of other senders that templates were written for.
func isOptOut(a *attributes) bool {
	// The length rules most attributes out.
	switch a.nameEnd - a.nameStart {
	case len("clicktracking"):
		return a.named("clicktracking")
	case len("disable-tracking"):
		return a.named("disable-tracking") || a.named("data-pm-no-track")
	case len("ses:no-track"):
		return a.named("ses:no-track")
	case len("data-msys-clicktrack"):
		return a.named("data-msys-clicktrack") || a.named("data-postrider-track")
	}
	return false
}

// turnsOff reports whether the value asks for no tracking: those that are mere
// flags do whatever their value is, the others when they say so.
func turnsOff(a *attributes) bool {
	value := strings.ToLower(strings.TrimSpace(string(a.text())))
	switch {
	case a.named("clicktracking"), a.named("data-postrider-track"), a.named("data-msys-clicktrack"):
		return value == "off" || value == "0" || value == "false" || value == "no"
	case a.named("disable-tracking"):
		return value != "false" && value != "0"
	}
	return true
}

// removal takes the attribute out with the white space before it, which stays
// where it alone keeps two attributes apart.
func removal(content []byte, a attribute) mimetree.Edit {
	edit := mimetree.Edit{Start: a.before, End: a.after}
	if a.after < len(content) && !endsName(content[a.after]) && a.before < a.nameStart {
		edit.Start = a.nameStart
	}
	return edit
}
