package shape

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is one table of a document. Each reader takes a value if the key is
// there, and reports one that is not as it should be.
type table struct {
	*document
	path   string
	values map[string]any
	// known keys were asked for; what is left at the end is unknown.
	known map[string]bool
}

// value returns what is at key, and notes that the key is known.
func (t *table) value(key string) (any, bool) {
	t.known[key] = true
	v, ok := t.values[key]
	return v, ok
}

// read takes the value at key into a field by convert.
func read[T any](t *table, key, expected string, into *T, convert func(any) (T, bool)) bool {
	v, ok := t.value(key)
	if !ok {
		return false
	}
	converted, ok := convert(v)
	if !ok {
		t.wrong(join(t.path, key), "expected %s", expected)
		return false
	}
	*into = converted
	return true
}

func (t *table) text(key, expected string, into *string) bool {
	return read(t, key, expected, into, func(v any) (string, bool) {
		s, ok := v.(string)
		return s, ok && s != ""
	})
}

// texts reads a list of strings; one alone is a list of one.
func (t *table) texts(key, expected string, into *[]string) bool {
	return read(t, key, expected, into, func(v any) ([]string, bool) {
		var list []string
		for _, one := range asList(v) {
			s, ok := one.(string)
			if !ok || s == "" {
				return nil, false
			}
			list = append(list, s)
		}
		return list, len(list) > 0
	})
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func (t *table) truth(key string, into *bool) bool {
	return read(t, key, "true or false", into, func(v any) (bool, bool) {
		b, ok := v.(bool)
		return b, ok
	})
}

func (t *table) whole(key string, least, most int, into *int) bool {
	expected := fmt.Sprintf("a whole number from %d to %d", least, most)
	return read(t, key, expected, into, func(v any) (int, bool) {
		n, ok := v.(int64)
		return int(n), ok && n >= int64(least) && n <= int64(most)
	})
}

func (t *table) number(key, expected string, above, most float64, into *float64) bool {
	return read(t, key, expected, into, func(v any) (float64, bool) {
		n, ok := v.(float64)
		if i, isInt := v.(int64); isInt {
			n, ok = float64(i), true
		}
		return n, ok && n > above && n <= most
	})
}

func (t *table) duration(key string, into *time.Duration) bool {
	return read(t, key, `a duration such as "30s", "10m", "2h" or "1d"`, into, func(v any) (time.Duration, bool) {
		s, ok := v.(string)
		if !ok {
			return 0, false
		}
		d, err := parseDuration(s)
		return d, err == nil && d > 0
	})
}

// maxDays bounds a duration.
const maxDays = 365

// parseDuration reads what time.ParseDuration does, and days before it.
func parseDuration(s string) (time.Duration, error) {
	var whole time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > maxDays {
			return 0, fmt.Errorf("%q is not a number of days up to %d", days, maxDays)
		}
		whole, s = time.Duration(n)*24*time.Hour, rest
		if s == "" {
			return whole, nil
		}
	}
	part, err := time.ParseDuration(s)
	if err != nil || part < 0 || part > maxDays*24*time.Hour {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return whole + part, nil
}

// rate reads a rate; the empty text says that there is none.
func (t *table) rate(key string, into *Rate) bool {
	return read(t, key, `a rate such as "100/s", "100/min" or "100/hour", or "" for no limit`, into, func(v any) (Rate, bool) {
		s, ok := v.(string)
		r, err := ParseRate(s)
		if s == "" {
			r.Messages = -1
		}
		return r, ok && err == nil
	})
}

// tables reads an array of tables.
func (t *table) tables(key string) []*table {
	v, ok := t.value(key)
	if !ok {
		return nil
	}
	path := join(t.path, key)
	list, ok := v.([]any)
	if !ok {
		t.wrong(path, "expected tables, each under a [[%s]]", key)
		return nil
	}
	var found []*table
	for i, one := range list {
		values, ok := one.(map[string]any)
		if !ok {
			t.wrong(item(path, i), "expected a table")
			continue
		}
		found = append(found, &table{t.document, item(path, i), values, map[string]bool{}})
	}
	return found
}

// table reads a table; nil where there is none.
func (t *table) table(key string) *table {
	v, ok := t.value(key)
	if !ok {
		return nil
	}
	values, ok := v.(map[string]any)
	if !ok {
		t.wrong(join(t.path, key), "expected a table")
		return nil
	}
	return &table{t.document, join(t.path, key), values, map[string]bool{}}
}

// done reports the keys that nothing asked for.
func (t *table) done() {
	var known []string
	for key := range t.known {
		known = append(known, key)
	}
	slices.Sort(known)
	for key := range t.values {
		if !t.known[key] {
			t.wrong(join(t.path, key), "unknown key; those known here are %s", strings.Join(known, ", "))
		}
	}
}
