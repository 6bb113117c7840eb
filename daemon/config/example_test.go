package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const exampleFile = "../../config.example.toml"

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestExampleLoads loads the example as it is: it sets nothing but defaults.
func TestExampleLoads(t *testing.T) {
	c, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Hostname, want.Delivery.EHLOName = "mail.example.com", "mail.example.com"
	want.Sources[0].EHLOName = "mail.example.com"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// uncommented makes every "# key = value" and "# [[table]]" count. Of the
// examples of whole tables, which stand behind the defaults, only the first of
// each table is wanted.
func uncommented(text string) string {
	line := regexp.MustCompile(`(?m)^# (\[+[a-z_.]+\]+|[a-z0-9_]+ = .*)$`)
	text = line.ReplaceAllString(text, "$1")
	second := regexp.MustCompile(`(?ms)^\[\[listener\]\]\nname = "submission".*?\n\n`)
	return second.ReplaceAllString(text, "")
}

// TestExampleShowsDefaults proves that the example has every key, none that is
// unknown, and for each the value that it has when it is left out.
func TestExampleShowsDefaults(t *testing.T) {
	d := newDecoder("example", "/run/credentials")
	root, whole := parseTree([]byte(uncommented(readFile(t, exampleFile))), &d.problems)
	if !whole {
		t.Fatal(d.problems.list)
	}
	shown := defaults()
	shown.Hostname = "mail.example.com"
	d.whole = true
	d.table(root, reflect.ValueOf(shown).Elem(), "")
	for _, p := range d.problems.list {
		t.Error(p)
	}
	compareTable(t, root, reflect.ValueOf(shown).Elem(), reflect.ValueOf(defaults()).Elem())
}

func compareTable(t *testing.T, n *node, shown, want reflect.Value) {
	for i := range shown.NumField() {
		field := shown.Type().Field(i)
		name := field.Tag.Get("toml")
		child := n.entries[name]
		if child == nil {
			t.Errorf("%s is not in the example", join(n.place.key, name))
			continue
		}
		got, want := shown.Field(i), want.Field(i)
		switch {
		case isTable(field.Type):
			compareTable(t, child, got, want)
		case field.Type.Kind() == reflect.Slice && isTable(field.Type.Elem()):
			compareTable(t, child.items[0], got.Index(0), elementDefaults(field.Type.Elem()))
		case field.Tag.Get("required") != "":
		case got.Kind() == reflect.Slice && got.Len() == 0 && want.Len() == 0:
		case !reflect.DeepEqual(got.Interface(), want.Interface()):
			t.Errorf("line %d: %s is shown as %v, and is by default %v", child.key.line, child.key.key, got, want)
		}
	}
}

// elementDefaults returns an element of an array of tables that sets nothing.
func elementDefaults(t reflect.Type) reflect.Value {
	element := reflect.New(t)
	switch e := element.Interface().(type) {
	case interface{ setDefaults() }:
		e.setDefaults()
	}
	return element.Elem()
}

// TestExampleExplains proves that a line of words stands above every key or
// group of keys.
func TestExampleExplains(t *testing.T) {
	key := regexp.MustCompile(`^(# )?[a-z0-9_]+ = `)
	table := regexp.MustCompile(`^(# )?\[`)
	lines := strings.Split(readFile(t, exampleFile), "\n")
	for i, line := range lines[1:] {
		above := lines[i]
		if key.MatchString(line) && (above == "" || above == "#") {
			t.Errorf("line %d: nothing explains %s", i+2, line)
		}
		if table.MatchString(line) && key.MatchString(above) {
			t.Errorf("line %d: no empty line above %s", i+2, line)
		}
	}
}

// TestDocumentation loads every example of the documentation: whole files, and
// pieces that lack only the host name.
func TestDocumentation(t *testing.T) {
	block := regexp.MustCompile("(?s)```toml\n(.*?)```")
	for _, page := range []string{"configuration.md", "sources.md", "bounces.md", "submission.md"} {
		blocks := block.FindAllStringSubmatch(readFile(t, "../../docs/"+page), -1)
		if len(blocks) == 0 {
			t.Fatal("no examples in", page)
		}
		for _, b := range blocks {
			text := b[1]
			if !strings.Contains(text, "hostname =") {
				text = "hostname = \"mail.example.com\"\n" + text
			}
			if _, err := Parse(page, []byte(text), "/run/credentials"); err != nil {
				t.Errorf("%v\nin\n%s", err, text)
			}
		}
	}
}

// TestDocumentationErrors compares the messages in the documentation with what
// the file beside them gives.
func TestDocumentationErrors(t *testing.T) {
	example := regexp.MustCompile("(?s)```toml-wrong\n(.*?)```.*?```text\n(.*?)```")
	found := example.FindStringSubmatch(readFile(t, "../../docs/configuration.md"))
	if found == nil {
		t.Fatal("no example of errors")
	}
	_, err := Parse("postrider.toml", []byte(found[1]), "")
	if err == nil || err.Error()+"\n" != found[2] {
		t.Errorf("got\n%v\nwant\n%s", err, found[2])
	}
}
