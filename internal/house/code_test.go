package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestCode holds what no package does: package-level state, init functions,
// and ending the process below cmd.
func TestCode(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, wrong := range offences(file, p.Name == "main") {
				at := files.Position(wrong.at)
				t.Errorf("%s/%s:%d: %s", p.ImportPath, name, at.Line, wrong.what)
			}
		}
	}
}

type offence struct {
	at   token.Pos
	what string
}

func offences(file *ast.File, program bool) []offence {
	var found []offence
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				found = append(found, offence{d.Pos(), "init function"})
			}
		case *ast.GenDecl:
			found = append(found, state(d)...)
		}
	}
	if !program {
		found = append(found, exits(file)...)
	}
	return found
}

// state finds package-level variables that are no error, no assertion that a
// type has an interface, and no embedded file.
func state(d *ast.GenDecl) []offence {
	var found []offence
	if d.Tok != token.VAR {
		return nil
	}
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || embedded(d.Doc) || embedded(v.Doc) {
			continue
		}
		for i, name := range v.Names {
			if name.Name != "_" && (i >= len(v.Values) || !makesError(v.Values[i])) {
				found = append(found, offence{name.Pos(), "package-level variable " + name.Name})
			}
		}
	}
	return found
}

func embedded(comment *ast.CommentGroup) bool {
	if comment == nil {
		return false
	}
	for _, line := range comment.List {
		if strings.HasPrefix(line.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

func makesError(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	return ok && (isCall(call, "errors", "New") || isCall(call, "fmt", "Errorf"))
}

func exits(file *ast.File) []offence {
	var found []offence
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for _, name := range []string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"} {
			if isCall(call, "log", name) {
				found = append(found, offence{call.Pos(), "log." + name})
			}
		}
		if isCall(call, "os", "Exit") {
			found = append(found, offence{call.Pos(), "os.Exit"})
		}
		return true
	})
	return found
}

func isCall(call *ast.CallExpr, pack, name string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == pack && selector.Sel.Name == name
}

// TestOffences proves that what TestCode looks for is found.
func TestOffences(t *testing.T) {
	const source = `package x
import "errors"
var ErrA = errors.New("a")
var _ I = (*T)(nil)
//go:embed file
var embedded string
var (
	ErrB = fmt.Errorf("%w", ErrA)
	table = map[string]int{}
)
var counter int
func init() {}
func f() { os.Exit(1); log.Fatalf("x"); defer func() { log.Panic() }() }
func (t *T) init() {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range offences(file, false) {
		got = append(got, o.what)
	}
	const want = "package-level variable table, package-level variable counter, init function, os.Exit, log.Fatalf, log.Panic"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if n := len(offences(file, true)); n != 3 {
		t.Errorf("a program is held to %d", n)
	}
}
