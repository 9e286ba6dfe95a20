package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion_SaysWhatTheBuildKnows(t *testing.T) {
	build := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123abcd"}, {Key: "vcs.time", Value: "2026-11-28T03:29:22Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got, want := commitOf(build, true), "0123abcd of 2026-11-28T03:29:22Z, with changes"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := commitOf(&debug.BuildInfo{}, true); got != "" {
		t.Errorf("a build that knows nothing says %q", got)
	}
}

// A release is built as in deploy/Dockerfile.
func TestVersion_IsWhatTheLinkerWasTold(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "tidegate")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=1.2.3", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "tidegate 1.2.3\n") || !regexp.MustCompile(`built with go1\.\S+ for \w+/\w+\n$`).Match(out) {
		t.Errorf("%q, %v", out, err)
	}
}
