package house

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/postrider-mta/postrider"

// pack is what go list says of a package; paths are without the module's.
type pack struct {
	ImportPath, Name, Dir              string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// packages runs go list over the whole module.
func packages(t *testing.T) []pack {
	t.Helper()
	touch(t)
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	command.Dir = root(t)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pack
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p pack
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath, _ = ours(p.ImportPath)
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("only %d packages", len(list))
	}
	return list
}

// touch looks at every folder, so that go test, which does not see what go list
// reads, never answers from its cache when a file has come or changed.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root(t), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone while we looked
		case err == nil && entry.Name() == ".git":
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// root finds the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not in a module")
		}
		dir = filepath.Dir(dir)
	}
}

// ours cuts the module's path off an import of ours.
func ours(path string) (name string, ok bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// outside reports the programs beside the house: they use it from outside, as
// the test suite and the benchmarks do, and nothing may import them.
func outside(name string) bool {
	folder, _, _ := strings.Cut(name, "/")
	return folder == "test" || folder == "bench"
}
