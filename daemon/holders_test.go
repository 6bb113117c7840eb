package daemon

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/privacy"
)

const modulePath = "github.com/postrider-mta/postrider"

// holderMethods are those of privacy.Holder.
func holderMethods() []string {
	holder := reflect.TypeFor[privacy.Holder]()
	var names []string
	for i := range holder.NumMethod() {
		names = append(names, holder.Method(i).Name)
	}
	return names
}

// TestEveryHolderIsRegistered proves that no store of personal data is
// forgotten: every type of the module that can do the duties is registered.
func TestEveryHolderIsRegistered(t *testing.T) {
	d := &daemon{}
	var registered []string
	for _, h := range d.personal() {
		kind := reflect.TypeOf(h).Elem()
		registered = append(registered, strings.TrimPrefix(kind.PkgPath(), modulePath+"/")+"."+kind.Name())
	}
	found := holdersBelow(t, "..") // from the root of the module
	slices.Sort(registered)
	if !slices.Equal(found, registered) {
		t.Errorf("types with the methods of privacy.Holder: %v\nregistered in personal: %v", found, registered)
	}
}

// TestHoldersAreFound proves that the search finds one that is new.
func TestHoldersAreFound(t *testing.T) {
	dir := t.TempDir()
	source := "package drafts\n\ntype Store struct{}\n\ntype half struct{}\n\nfunc (half) Find() {}\n"
	for _, name := range holderMethods() {
		source += "func (s *Store) " + name + "() {}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "store.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := holdersBelow(t, dir); !slices.Equal(found, []string{"..Store"}) {
		t.Errorf("found %v", found)
	}
}

// TestHoldersAreWalked proves that each is reached by name.
func TestHoldersAreWalked(t *testing.T) {
	d, _ := newSite(t, basic).started()
	if got := d.holders.Names(); !slices.Equal(got, []string{"suppressions", "consent", "queue", "events", "statistics", "rates"}) {
		t.Errorf("walks %v", got)
	}
	if _, err := d.holders.Expire(context.Background(), d.started); err != nil {
		t.Error(err)
	}
	contains(t, d.holders.Register(d.store), "registered already")
}

// holdersBelow names the types, outside tests, that have all the methods.
func holdersBelow(t *testing.T, root string) []string {
	t.Helper()
	methods := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		return collectMethods(methods, filepath.ToSlash(folder), path)
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for name, has := range methods {
		if !slices.ContainsFunc(holderMethods(), func(m string) bool { return !has[m] }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func collectMethods(methods map[string]map[string]bool, folder, path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Recv == nil {
			continue
		}
		name := folder + "." + receiver(f.Recv.List[0].Type)
		if methods[name] == nil {
			methods[name] = map[string]bool{}
		}
		methods[name][f.Name.Name] = true
	}
	return nil
}

func receiver(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.StarExpr:
		return receiver(of.X)
	case *ast.IndexExpr:
		return receiver(of.X)
	case *ast.Ident:
		return of.Name
	default:
		return ""
	}
}
