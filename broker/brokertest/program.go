package brokertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// FindProgram returns the path of the first of some programs that is installed. Where
// none is, the test is skipped; in CI it fails.
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
