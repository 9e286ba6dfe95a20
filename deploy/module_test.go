package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// A copy of the code has another address afterwards, and every import leads somewhere.
func TestModule_CanBeGivenAnAddress(t *testing.T) {
	t.Parallel()
	brokertest.FindProgram(t, "perl")
	folder := t.TempDir()
	for _, part := range []string{"broker", "cmd", "deploy", "gateway", "metrics"} {
		if err := os.CopyFS(filepath.Join(folder, part), os.DirFS("../"+part)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile("../" + file)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, file), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = folder
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}

	run(filepath.Join(folder, "deploy/module.sh"), "example.com/somebody/tidegate")
	packages := run("go", "list", "-deps", "-test", "./...") // fails if an import leads nowhere
	if !strings.Contains(packages, "example.com/somebody/tidegate/gateway/client\n") || regexp.MustCompile(`(?m)^tidegate/`).MatchString(packages) {
		t.Errorf("the packages are\n%s", packages)
	}
	if unformatted := run("gofmt", "-l", "."); unformatted != "" {
		t.Errorf("not formatted:\n%s", unformatted)
	}
}
