package config

import (
	"fmt"
	"reflect"
	"slices"
)

// NeedsRestart names the keys, sorted, that differ between two configurations
// and that a reload cannot change.
func NeedsRestart(running, wanted *Config) []string {
	keys := differences(reflect.ValueOf(running).Elem(), reflect.ValueOf(wanted).Elem(), "", false)
	if !slices.Equal(listeners(running), listeners(wanted)) {
		keys = append(keys, "listener")
	}
	slices.Sort(keys)
	return keys
}

func differences(a, b reflect.Value, path string, restart bool) []string {
	var keys []string
	for i := range a.NumField() {
		field := a.Type().Field(i)
		needs := restart || field.Tag.Get("restart") != ""
		key := join(path, field.Tag.Get("toml"))
		switch {
		case isTable(field.Type):
			keys = append(keys, differences(a.Field(i), b.Field(i), key, needs)...)
		case needs && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			keys = append(keys, key)
		}
	}
	return keys
}

// listeners are what is read once of them: all but the certificates.
func listeners(c *Config) []string {
	var list []string
	for _, l := range c.Listeners {
		l.Certificate, l.Key = "", ""
		list = append(list, fmt.Sprintf("%+v", l))
	}
	slices.Sort(list)
	return list
}
