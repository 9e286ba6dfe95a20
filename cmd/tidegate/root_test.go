package main

import (
	"strings"
	"testing"
)

// The help of tidegate shows its commands: only that of serve lists all settings.
func TestHelp_ListsTheSettingsOnce(t *testing.T) {
	for command, all := range map[string]bool{"": false, "dev": false, "serve": true} {
		root, said := newRootCommand(), strings.Builder{}
		root.SetOut(&said)
		root.SetArgs(strings.Fields(command + " --help"))
		must(t, root.Execute())
		if listed := strings.Contains(said.String(), "--limits-sessions "); listed != all || !strings.Contains(said.String(), "--redis-url ") {
			t.Errorf("the help of %q is\n%s", command, &said)
		}
		if err := understands(command + " --limits-sessions 5"); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
}
