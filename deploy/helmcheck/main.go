// Command helmcheck renders the Helm chart with Helm's own engine, and holds what comes
// of it to the types of Kubernetes' API, in which nothing may stand that they do not know.
// It is a module of its own, since the gateway needs none of what it needs.
//
//	go run . ../helm                          what the default values come to
//	go run . ../helm ingress.enabled=true     and with others
package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/strvals"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "helmcheck:", err)
		os.Exit(1)
	}
}

// check writes the manifests, one document after the other.
func check(folder string, set []string) error {
	values := map[string]any{}
	for _, one := range set {
		if err := strvals.ParseInto(one, values); err != nil {
			return fmt.Errorf("%s: %w", one, err)
		}
	}
	if err := findFaults(folder, values); err != nil {
		return err
	}
	files, err := render(folder, values)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, manifest := range releaseutil.SplitManifests(files[name]) {
			if err := checkTypes([]byte(manifest)); err != nil {
				return fmt.Errorf("%s: %w\n%s", name, err, manifest)
			}
			fmt.Printf("---\n%s\n", strings.TrimSpace(manifest))
		}
	}
	return nil
}

// findFaults is helm lint --strict.
func findFaults(folder string, values map[string]any) error {
	var faults []string
	for _, message := range lint.All(folder, values, "default", true).Messages {
		if message.Severity >= support.WarningSev {
			faults = append(faults, message.Error())
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("lint: %s", strings.Join(faults, "\n"))
	}
	return nil
}

// render is helm template.
func render(folder string, values map[string]any) (map[string]string, error) {
	chart, err := loader.Load(folder)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: chart.Name(), Namespace: "default", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// checkTypes is a strict decoding into the type that the manifest names.
func checkTypes(manifest []byte) error {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(manifest, &head); err != nil {
		return err
	}
	into, known := map[string]any{
		"v1 ConfigMap":                           &core.ConfigMap{},
		"v1 Service":                             &core.Service{},
		"apps/v1 Deployment":                     &apps.Deployment{},
		"policy/v1 PodDisruptionBudget":          &policy.PodDisruptionBudget{},
		"autoscaling/v2 HorizontalPodAutoscaler": &autoscaling.HorizontalPodAutoscaler{},
		"networking.k8s.io/v1 NetworkPolicy":     &networking.NetworkPolicy{},
		"networking.k8s.io/v1 Ingress":           &networking.Ingress{},
		"monitoring.coreos.com/v1 PodMonitor":    &monitoring.PodMonitor{},
	}[head.APIVersion+" "+head.Kind]
	if !known {
		return fmt.Errorf("%s %s is not expected", head.APIVersion, head.Kind)
	}
	return yaml.UnmarshalStrict(bytes.TrimSpace(manifest), into)
}
