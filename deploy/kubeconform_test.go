//go:build helm

package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	kubeconform = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
	itsAPI      = "k8s.io/kubernetes@v1.34.2" // the module has the description of its API
)

// What the chart makes, of its default values and with all that is optional, conforms to
// the description of Kubernetes' API. That has no PodMonitor.
func TestHelm_ConformsToTheAPI(t *testing.T) {
	chart, schemas := buildHelmCheck(t), schemasOfKubernetes(t)
	check := func(set ...string) (string, error) {
		made, err := chart.run(set...)
		if err != nil {
			t.Fatalf("%v: %s", err, made)
		}
		file := filepath.Join(t.TempDir(), "made.yaml")
		must(t, os.WriteFile(file, []byte(made), 0o600))
		out, err := exec.CommandContext(t.Context(), "go", "run", kubeconform, "-strict", "-summary", "-skip", "PodMonitor",
			"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json", file).CombinedOutput()
		return string(out), err
	}
	for _, optional := range [][]string{nil, {"autoscaling.enabled=true", "ingress.enabled=true", "podMonitor.enabled=true"}} {
		if out, err := check(optional...); err != nil || !strings.Contains(out, "Invalid: 0, Errors: 0") {
			t.Errorf("%q: %v\n%s", optional, err, out)
		}
	}
	if out, err := check("env[0].value=debug"); err == nil || !strings.Contains(out, "missing property 'name'") {
		t.Errorf("a variable without a name: %v\n%s", err, out)
	}
}

// schemasOfKubernetes makes a JSON schema for each kind, in which nothing may stand that
// the API does not know, and returns their folder.
func schemasOfKubernetes(t *testing.T) string {
	t.Helper()
	var module struct{ Dir string }
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", itsAPI).Output()
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "api/openapi-spec/swagger.json"))
	must(t, err)
	var api struct{ Definitions map[string]mapping }
	must(t, json.Unmarshal(text, &api))
	folder := t.TempDir()
	for name, definition := range api.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if _, has := definition["properties"]; has {
			definition["additionalProperties"] = false
		}
		if strings.HasSuffix(name, ".IntOrString") || strings.HasSuffix(name, ".Quantity") {
			definition["type"] = []string{"string", "number"}
		}
		if len(kinds) == 1 {
			put(t, filepath.Join(folder, schemaName(kinds[0].(map[string]any))), mapping{"$ref": "definitions.json#/definitions/" + name})
		}
	}
	put(t, filepath.Join(folder, "definitions.json"), mapping{"definitions": api.Definitions})
	return folder
}

// schemaName is how kubeconform calls a kind's schema.
func schemaName(kind mapping) string {
	group, _, _ := strings.Cut(kind["group"].(string), ".")
	parts := []string{strings.ToLower(kind["kind"].(string)), group, kind["version"].(string)}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "-") + ".json"
}

func put(t *testing.T, file string, schema mapping) {
	t.Helper()
	text, err := json.Marshal(schema)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	must(t, err)
}
