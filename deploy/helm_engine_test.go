//go:build helm

package deploy

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is no value of the chart's is an error, as are those that cannot be.
func TestHelm_RefusesWhatItDoesNotKnow(t *testing.T) {
	chart := buildHelmCheck(t)
	for set, want := range map[string]string{
		"replica=5":                          "replica",
		"image.digest=latest":                "digest",
		"config.listen=:80":                  "config",
		"resources.limits.memory=2000000000": "memory",
		"resources.limits.memory=1.5Gi":      "memory",
		"env[0].nam=GOGC":                    `unknown field "nam"`,
	} {
		if out, err := chart.run(set); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", set, err, out)
		}
	}
}

// helmCheck is the command of that folder, which runs Helm's engine.
type helmCheck struct {
	t    *testing.T
	path string
}

func helm(t *testing.T) renderer { return buildHelmCheck(t) }

func buildHelmCheck(t *testing.T) helmCheck {
	t.Helper()
	h := helmCheck{t: t, path: filepath.Join(t.TempDir(), "helmcheck")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", h.path, ".")
	build.Dir = "helmcheck"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return h
}

func (h helmCheck) render(set ...string) map[string]mapping {
	h.t.Helper()
	out, err := h.run(set...)
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return manifestsOf(h.t, out)
}

func (h helmCheck) run(set ...string) (out string, err error) {
	content, err := exec.CommandContext(h.t.Context(), h.path, append([]string{"helm"}, set...)...).CombinedOutput()
	return string(content), err
}
