//go:build !helm

package deploy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// The tests of the chart have it rendered by a stand-in of Helm, since Helm takes minutes
// to build. By Helm's own engine, with lint and the types of Kubernetes' API:
//
//	go test -tags helm ./deploy -run TestHelm -v
func helm(t *testing.T) renderer { return helmStandIn{t} }

// helmStandIn does what Helm does with the chart, so far as the chart asks for it.
type helmStandIn struct{ t *testing.T }

func (h helmStandIn) render(set ...string) map[string]mapping {
	h.t.Helper()
	chart, values := documents(h.t, "helm/Chart.yaml")[0], documents(h.t, "helm/values.yaml")[0]
	for _, one := range set {
		path, text, _ := strings.Cut(one, "=")
		words := strings.Split(path, ".")
		last := len(words) - 1
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			h.t.Fatal(err)
		}
		values.at(words[:last]...)[words[last]] = value
	}
	scope := mapping{
		"Values":   values,
		"Chart":    mapping{"Name": chart["name"], "AppVersion": chart["appVersion"]},
		"Release":  mapping{"Name": "tidegate", "Namespace": "default"},
		"Template": mapping{"BasePath": "helm/templates"},
	}
	var made bytes.Buffer
	for _, file := range h.templates() {
		made.WriteString("\n---\n")
		if err := file.Execute(&made, scope); err != nil {
			h.t.Fatal(err)
		}
	}
	return manifestsOf(h.t, made.String())
}

// templates returns those that make manifests. Each can include the others.
func (h helmStandIn) templates() (manifests []*template.Template) {
	h.t.Helper()
	all := template.New("").Option("missingkey=zero")
	all.Funcs(helmFunctions(all))
	files, err := filepath.Glob("helm/templates/*")
	if err != nil || len(files) == 0 {
		h.t.Fatalf("no templates: %v", err)
	}
	for _, file := range files {
		one, err := all.New(filepath.ToSlash(file)).Parse(read(h.t, file))
		if err != nil {
			h.t.Fatal(err)
		}
		if filepath.Ext(file) == ".yaml" {
			manifests = append(manifests, one)
		}
	}
	return manifests
}

func helmFunctions(all *template.Template) template.FuncMap {
	return template.FuncMap{
		"include": func(name string, scope any) (string, error) {
			var text strings.Builder
			err := all.ExecuteTemplate(&text, name, scope)
			return text.String(), err
		},
		"toYaml": func(value any) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"nindent": func(spaces int, text string) string {
			line := "\n" + strings.Repeat(" ", spaces)
			return line + strings.ReplaceAll(text, "\n", line)
		},
		"default": func(fallback, value any) any {
			if truth, _ := template.IsTrue(value); truth {
				return value
			}
			return fallback
		},
		"quote":      func(value any) string { return strconv.Quote(fmt.Sprint(value)) },
		"toString":   func(value any) string { return fmt.Sprint(value) },
		"hasSuffix":  func(suffix, text string) bool { return strings.HasSuffix(text, suffix) },
		"trimSuffix": func(suffix, text string) string { return strings.TrimSuffix(text, suffix) },
		"sha256sum":  func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) },
		"fail":       func(text string) (string, error) { return "", errors.New(text) },
		"add":        func(values ...any) int { return fold(values, func(a, b int) int { return a + b }) },
		"mul":        func(values ...any) int { return fold(values, func(a, b int) int { return a * b }) },
		"div":        func(values ...any) int { return fold(values, func(a, b int) int { return a / b }) },
	}
}

// fold takes numbers, and texts that are numbers, as Helm does.
func fold(values []any, operation func(a, b int) int) (result int) {
	for i, value := range values {
		number, _ := strconv.Atoi(fmt.Sprint(value))
		if i == 0 {
			result = number
			continue
		}
		result = operation(result, number)
	}
	return result
}
