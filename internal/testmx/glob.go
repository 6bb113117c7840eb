package testmx

import "strings"

// glob matches addresses without regard to case; a star stands for any octets.
type glob struct{ parts []string }

func newGlob(pattern string) glob {
	if strings.HasPrefix(pattern, "@") {
		pattern = "*" + pattern
	}
	return glob{strings.Split(strings.ToLower(pattern), "*")}
}

func (g glob) matches(s string) bool {
	s = strings.ToLower(s)
	first, last := g.parts[0], g.parts[len(g.parts)-1]
	if len(g.parts) == 1 {
		return s == first
	}
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range g.parts[1 : len(g.parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
