package brokertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// FindProgram returns the path of the first of the named programs that is installed. If none
// is, it skips the test, or fails it if the environment has CI set.
func FindProgram(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing := "none of " + strings.Join(names, ", ") + " is installed: not tested"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
