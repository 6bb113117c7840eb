// Package house holds the module to its design: who may import whom, and what
// no package does. It has nothing but tests.
package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImports holds the table of rooms.
func TestImports(t *testing.T) {
	table := rooms()
	for _, p := range packages(t) {
		if outside(p.ImportPath) {
			continue
		}
		r, known := table[p.ImportPath]
		if !known {
			t.Errorf("%s is not in the house: give it a floor and imports in internal/house/rooms_test.go and in docs/design.md", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			if name, ok := ours(path); ok && !r.may(table, name) {
				t.Errorf("%s may not import %s", p.ImportPath, name)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if name, ok := ours(path); ok && !r.testsMay(table, name) {
				t.Errorf("tests of %s may not import %s", p.ImportPath, name)
			}
		}
	}
}

// may reports whether the room may import the package.
func (r room) may(table map[string]room, name string) bool {
	for _, allowed := range r.imports {
		parent, all := strings.CutSuffix(allowed, "...")
		switch {
		case allowed == name,
			all && strings.HasPrefix(name, parent),
			allowed == values && slices.Contains(valueRooms(), name),
			allowed == below && table[name].floor < r.floor && table[name].floor > 0 && !forTests(name):
			return true
		}
	}
	return false
}

// testsMay reports whether the room's tests may import the package: what is on
// its floor or lower.
func (r room) testsMay(table map[string]room, name string) bool {
	other, known := table[name]
	return known && (other.floor <= r.floor || forTests(name))
}

// forTests are the packages that only tests, and programs beside the house,
// may import.
func forTests(name string) bool {
	return slices.Contains([]string{"internal/testmx", "internal/testacme", "internal/testdisk", "queue/queuetest", "internal/house"}, name)
}

// TestTable holds the table itself: a room names only rooms of its floor or
// lower, and what is for tests is named by none.
func TestTable(t *testing.T) {
	table := rooms()
	for name, r := range table {
		for _, allowed := range r.imports {
			if allowed == values || allowed == below || strings.HasSuffix(allowed, "/...") {
				continue
			}
			other, known := table[allowed]
			if !known || other.floor > r.floor || forTests(allowed) && name != "daemon/sink" {
				t.Errorf("%s: %s is unknown, higher or for tests", name, allowed)
			}
		}
	}
}

// TestFolders holds that folders as wholes import in one direction.
func TestFolders(t *testing.T) {
	edges := map[string]map[string]bool{}
	for _, p := range packages(t) {
		from, _, _ := strings.Cut(p.ImportPath, "/")
		for _, path := range p.Imports {
			name, ok := ours(path)
			to, _, _ := strings.Cut(name, "/")
			if !ok || to == from {
				continue
			}
			if edges[from] == nil {
				edges[from] = map[string]bool{}
			}
			edges[from][to] = true
			if outside(to) && !outside(from) {
				t.Errorf("%s imports %s", p.ImportPath, name)
			}
		}
	}
	for folder := range edges {
		if reaches(edges, folder, folder, map[string]bool{}) {
			t.Errorf("%s imports itself by way of another folder", folder)
		}
	}
}

func reaches(edges map[string]map[string]bool, from, to string, seen map[string]bool) bool {
	for next := range edges[from] {
		if next == to {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if reaches(edges, next, to, seen) {
				return true
			}
		}
	}
	return false
}

// TestConfigStaysAbove holds that only daemon and cmd know the configuration.
func TestConfigStaysAbove(t *testing.T) {
	for _, p := range packages(t) {
		folder, _, _ := strings.Cut(p.ImportPath, "/")
		for _, path := range p.Imports {
			if name, _ := ours(path); name == "daemon/config" && folder != "daemon" && folder != "cmd" && !outside(p.ImportPath) {
				t.Errorf("%s imports the configuration", p.ImportPath)
			}
		}
	}
}

// TestDesignNamesRooms holds that every package stands in the table of
// docs/design.md, and every room of this table too.
func TestDesignNamesRooms(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	var named strings.Builder
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 {
			named.WriteString(cells[2])
		}
	}
	for name := range rooms() {
		if !strings.Contains(named.String(), "`"+name+"`") {
			t.Errorf("docs/design.md does not name %s in its table of rooms", name)
		}
	}
}
