package console_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// The package is what somebody else gets: packed, installed from the tarball into
// a project of its own, and used there against a gateway.
func TestPackage_IsInstalledFromItsTarballAndWorks(t *testing.T) {
	npm, node := brokertest.FindProgram(t, "npm"), brokertest.FindProgram(t, "node", "nodejs")
	nodes := newCluster(t)
	nodes.start()
	project := t.TempDir()
	run := func(dir, program string, args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), program, args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GATEWAY="+nodes.url(), "npm_config_cache="+filepath.Join(project, "cache"), "npm_config_update_notifier=false")
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s\n%s", program, strings.Join(args, " "), err, out, stderrOf(err))
		}
		return string(out)
	}

	packed := strings.TrimSpace(run("tidegate", npm, "pack", "--ignore-scripts", "--pack-destination", project))
	if err := os.CopyFS(filepath.Join(project, "test"), os.DirFS("testdata/package")); err != nil {
		t.Fatal(err)
	}
	project = filepath.Join(project, "test")
	if err := os.WriteFile(filepath.Join(project, "package.json"), []byte(`{"type":"module","private":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(project, npm, "install", "--offline", "--no-audit", "--no-fund", "./react", "../"+packed)
	files, err := filepath.Glob(filepath.Join(project, "node_modules/tidegate/*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	want := []string{"README.md", "package.json", "tidegate-http.js", "tidegate-link.js", "tidegate-react.js", "tidegate-session.js", "tidegate-shared-worker.js", "tidegate-shared.js", "tidegate.js", "types"}
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	run(project, node, "--test", "--test-timeout=120000", "package.test.mjs")
}

func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}
