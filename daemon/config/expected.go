package config

import (
	"cmp"
	"io/fs"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/postrider-mta/postrider/internal/spelling"
)

// expected says in words what a field takes.
func expected(t reflect.Type, tag reflect.StructTag) string {
	if t.Kind() == reflect.Slice {
		return expected(t.Elem(), tag) + ", or a list of such"
	}
	if words := tag.Get("oneof"); words != "" {
		return alternatives(strings.Fields(words))
	}
	if format, ok := formats()[tag.Get("is")]; ok {
		return format.expected
	}
	return typeName(t) + bounds(tag)
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[int]():
		return "a whole number"
	case reflect.TypeFor[float64]():
		return "a number"
	case reflect.TypeFor[time.Duration]():
		return `a duration such as "30s", "4h" or "5d"`
	case reflect.TypeFor[Size]():
		return `a size such as "25MB" or "512KiB"`
	case reflect.TypeFor[Rate]():
		return `a rate such as "100/s", "100/min" or "100/hour", or "" for no limit`
	case reflect.TypeFor[fs.FileMode]():
		return `an octal mode such as "0660"`
	case reflect.TypeFor[netip.Prefix]():
		return `a network such as "10.0.0.0/8" or "2001:db8::/32"`
	case reflect.TypeFor[SecretFile]():
		return `the path of a file, or "${credentials}/NAME"`
	}
	return "text"
}

func bounds(tag reflect.StructTag) string {
	low, high := tag.Get("min"), tag.Get("max")
	switch {
	case low != "" && high != "":
		return " from " + low + " to " + high
	case low != "":
		return " of at least " + low
	}
	return ""
}

func alternatives(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = `"` + word + `"`
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// outOfRange compares a number, duration or size with the field's bounds.
func outOfRange(value reflect.Value, tag reflect.StructTag) bool {
	beyond := func(bound string, sign int) bool {
		if bound == "" {
			return false
		}
		limit := reflect.New(value.Type())
		parseInto(limit.Interface(), bound)
		return compare(value, limit.Elem()) == sign
	}
	return beyond(tag.Get("min"), -1) || beyond(tag.Get("max"), 1)
}

func compare(a, b reflect.Value) int {
	if a.CanFloat() {
		// NaN is below everything, and so is refused by every lower bound.
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(a.Int(), b.Int())
}

// suggestion names the known key nearest to an unknown one.
func suggestion(name string, fields map[string]int) string {
	best, least := "", max(len(name)/2, 2)
	for known := range fields {
		if d := distance(name, known); d < least || d == least && known < best {
			best, least = known, d
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// distance is how far b is from a; a long word is far from everything.
func distance(a, b string) int {
	if len(a) > 100 {
		return len(a)
	}
	return spelling.Distance(a, b)
}
