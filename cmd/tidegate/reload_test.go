package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const (
	openRules   = "channels: [{match: '*', subscribe: anyone, publish: anyone}]\n"
	closedRules = "channels: [{match: '*', subscribe: nobody}]\n"
)

func TestReload_ABrokenFileChangesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	put(t, file, openRules)
	p := startNode(t, nil, "--config", file)

	put(t, file, "chanels: []")
	p.signal(syscall.SIGHUP)
	p.waitFor("unknown key chanels: the nearest known one is channels")

	put(t, file, "")
	p.signal(syscall.SIGHUP)
	p.waitFor("to begin or to end development takes a restart")

	put(t, file, closedRules)
	p.signal(syscall.SIGHUP)
	p.waitFor("reloaded rules and keys")
}

// put replaces a file in one step.
func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
