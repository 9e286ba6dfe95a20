package deploy

import (
	"bytes"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// renderer makes manifests of the chart, by kind and name. Values are set as by --set.
type renderer interface {
	render(set ...string) map[string]mapping
}

// Each file of deploy/kubernetes is what Helm makes of the chart: tidegate.yaml of its
// default values, and the others of what is optional.
func TestHelm_RendersTheManifests(t *testing.T) {
	chart := helm(t)
	plain := chart.render()
	whole := chart.render("autoscaling.enabled=true", "ingress.enabled=true", "podMonitor.enabled=true")
	for file, made := range map[string]map[string]mapping{
		"tidegate.yaml": plain, "hpa.yaml": whole, "ingress.yaml": whole, "podmonitor.yaml": whole,
	} {
		for _, want := range documents(t, filepath.Join("kubernetes", file)) {
			got := made[nameOf(want)]
			delete(got.at("spec", "template", "metadata", "annotations"), "checksum/config")
			if !reflect.DeepEqual(opened(t, got), opened(t, want)) {
				t.Errorf("of %s the chart makes\n%s\nand kubernetes/%s has\n%s", nameOf(want), encoded(t, got), file, encoded(t, want))
			}
		}
	}
	if want := len(documents(t, "kubernetes/tidegate.yaml")); len(plain) != want {
		t.Errorf("of the default values the chart makes %d documents, want %d", len(plain), want)
	}
	if _, fixed := whole["Deployment tidegate"].at("spec")["replicas"]; fixed {
		t.Error("with autoscaling the number of nodes is set, too")
	}
}

// Values that differ reach what depends on them.
func TestHelm_TakesOtherValues(t *testing.T) {
	chart := helm(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	made := chart.render("image.repository=registry.example.com/tidegate", "image.digest="+digest, "resources.limits.memory=6Gi",
		"drainSeconds=120", "secret=mine", "config.log.level=debug", "podAnnotations.team=rt", "networkPolicy.enabled=false",
		"ingress.enabled=true", "ingress.tlsSecret=certificate", "ingress.host=rt.example.com")
	pod := made["Deployment tidegate"].at("spec", "template", "spec")
	container := pod["containers"].([]any)[0].(mapping)
	if got := container["image"]; got != "registry.example.com/tidegate@"+digest {
		t.Errorf("the image is %v", got)
	}
	if environment := encoded(t, container); !strings.Contains(environment, "value: 4608MiB") {
		t.Errorf("GOMEMLIMIT is not three quarters of 6Gi:\n%s", environment)
	}
	if got := made["Deployment tidegate"].at("spec", "template", "metadata", "annotations")["team"]; got != "rt" {
		t.Errorf("the pods' annotation is %v", got)
	}
	config := opened(t, made["ConfigMap tidegate"]).at("data", "tidegate.yaml")
	grace := time.Duration(pod["terminationGracePeriodSeconds"].(int)) * time.Second
	if window := config.duration(t, "drain", "window"); window != 2*time.Minute || grace < window+8*time.Second {
		t.Errorf("the window is %v, and a node has %v to end", window, grace)
	}
	if config.at("log")["level"] != "debug" || config.at("log")["format"] != "json" {
		t.Errorf("the log is %v", config.at("log"))
	}
	if !strings.Contains(encoded(t, pod), "secretName: mine") {
		t.Errorf("the secret is not that of the values:\n%s", encoded(t, pod))
	}
	if tls := encoded(t, made["Ingress tidegate"].at("spec")); !strings.Contains(tls, "secretName: certificate") || !strings.Contains(tls, "rt.example.com") {
		t.Errorf("the ingress is\n%s", tls)
	}
	if _, there := made["NetworkPolicy tidegate"]; there {
		t.Error("there is a NetworkPolicy")
	}
}

// GOMEMLIMIT is made of whole numbers only: of 1.5Gi it would be 0.
func TestHelm_TakesAMemoryLimitInWholeMiOrGi(t *testing.T) {
	schema := documents(t, "helm/values.schema.json")[0]
	pattern, _ := schema.at("properties", "resources", "properties", "limits", "properties", "memory")["pattern"].(string)
	allowed, err := regexp.Compile(pattern)
	if err != nil || pattern == "" {
		t.Fatalf("the pattern is %q: %v", pattern, err)
	}
	for limit, want := range map[string]bool{"3584Mi": true, "6Gi": true, "1.5Gi": false, "0Gi": false, "2000000000": false, "6G": false} {
		if allowed.MatchString(limit) != want {
			t.Errorf("%s is allowed: %t", limit, !want)
		}
	}
}

func manifestsOf(t *testing.T, text string) map[string]mapping {
	t.Helper()
	made := map[string]mapping{}
	for _, document := range parse(t, "the chart", text) {
		if len(document) > 0 { // what is switched off leaves an empty one
			made[nameOf(document)] = document
		}
	}
	return made
}

func nameOf(manifest mapping) string {
	kind, _ := manifest["kind"].(string)
	name, _ := manifest.at("metadata")["name"].(string)
	return kind + " " + name
}

// opened returns a manifest, of a ConfigMap with tidegate.yaml as what it says.
func opened(t *testing.T, manifest mapping) mapping {
	t.Helper()
	if text, ok := manifest.at("data")["tidegate.yaml"].(string); ok {
		manifest.at("data")["tidegate.yaml"] = parse(t, "tidegate.yaml", text)[0]
	}
	return manifest
}

func encoded(t *testing.T, node mapping) string {
	t.Helper()
	var text bytes.Buffer
	must(t, yaml.NewEncoder(&text).Encode(node))
	return text.String()
}
