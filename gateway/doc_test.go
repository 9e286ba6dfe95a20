package gateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidegate/broker/lock"
)

// The order in doc.go must be the one that package lock checks.
func TestDoc_ShowsTheOrderOfLocks(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	must(t, err)
	_, section, _ := strings.Cut(string(text), "// The order of locks.")
	section, _, _ = strings.Cut(section, "// What a channel with history promises")
	var shown, checked []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(\w.*)$`).FindAllStringSubmatch(section, -1) {
		names, _, _ := strings.Cut(line[1], "  ")
		shown = append(shown, regexp.MustCompile(`\w+`).FindAllString(names, -1)...)
	}
	for _, place := range lock.Order() {
		checked = append(checked, reflect.TypeOf(place).Name())
	}
	if !slices.Equal(shown, checked) {
		t.Errorf("doc.go shows\n%v\nand what is checked is\n%v", shown, checked)
	}
}

// Every name in the drawings of doc.go must exist.
func TestDoc_WalksThroughWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	must(t, err)
	there := make(map[string]bool)
	for _, dir := range []string{".", "internal/hub", "internal/timeline", "internal/attendance", "../broker"} {
		addDeclared(t, dir, there)
	}
	for _, word := range []string{"or", "outbox", "outboxes", "flushers"} {
		there[word] = true
	}
	lines := regexp.MustCompile(`(?m)^//\t.*(?:──>|<──).*$`).FindAllString(string(text), -1)
	if len(lines) < 8 {
		t.Errorf("only %q are steps", lines)
	}
	for _, line := range lines {
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(line, -1) {
			if !there[name] {
				t.Errorf("there is no %s, and doc.go has %q", name, line)
			}
		}
	}
}

// addDeclared adds all names that a package declares.
func addDeclared(t *testing.T, dir string, names map[string]bool) {
	t.Helper()
	for _, file := range filesOf(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names[n.Name.Name] = true
			case *ast.TypeSpec:
				names[n.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range n.Names {
					names[name.Name] = true
				}
			case *ast.Field: // also methods of an interface
				for _, name := range n.Names {
					names[name.Name] = true
				}
			}
			return true
		})
	}
}

func filesOf(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		files = append(files, file)
	}
	return files
}

// Every method in the table of promise.go must exist.
func TestPromise_IsKeptByWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("promise.go")
	must(t, err)
	methods := make(map[string]bool)
	for _, dir := range []string{".", "internal/hub", "internal/timeline"} {
		addMethods(t, dir, methods)
	}
	told := regexp.MustCompile(`\((\w+(?:\.\w+)?)\)`)
	var names []string
	for _, line := range regexp.MustCompile(`(?m)^//\t.*$`).FindAllString(string(text), -1) {
		for _, found := range told.FindAllStringSubmatch(line, -1) {
			names = append(names, found[1])
		}
	}
	if len(names) < 10 {
		t.Errorf("only %q are named", names)
	}
	for _, name := range names {
		if !methods[name] {
			t.Errorf("there is no %s, of which promise.go says that it tells of a loss", name)
		}
	}
}

// addMethods adds the methods of a package, in the form Hub.Missed.
func addMethods(t *testing.T, dir string, methods map[string]bool) {
	t.Helper()
	for _, file := range filesOf(t, dir) {
		for _, declaration := range file.Decls {
			f, is := declaration.(*ast.FuncDecl)
			if !is || f.Recv == nil {
				continue
			}
			of := f.Recv.List[0].Type
			if pointer, is := of.(*ast.StarExpr); is {
				of = pointer.X
			}
			if name, is := of.(*ast.Ident); is {
				methods[name.Name+"."+f.Name.Name] = true
			}
		}
	}
}
