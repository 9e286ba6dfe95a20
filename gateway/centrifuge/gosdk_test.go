package centrifuge_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestGoSDK builds an application with the unmodified official Go client, in its own
// module, and runs it against two nodes.
func TestGoSDK(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	folder := t.TempDir()
	must(t, os.CopyFS(folder, os.DirFS("testdata/gosdk")))
	run := func(name string, args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir, command.Env = folder, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("go", "mod", "init", "application")
	run("go", "get", "github.com/centrifugal/centrifuge-go@v0.12.1")
	run("go", "build", "-o", "application", ".")
	run("./application", nodes[0].url, nodes[1].url)
}
