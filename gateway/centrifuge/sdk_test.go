package centrifuge_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidegate/broker/brokertest"
)

// packages are the official packages, and what they need in Node.
var packages = []string{"centrifuge@5.8.0", "protobufjs@7.5.4", "ws@8.18.3", "eventsource@2.0.2"}

// project is a folder with the packages, installed once.
var project struct {
	sync.Mutex
	folder string
}

// installSDK returns a folder in which the packages are installed.
func installSDK(t *testing.T) string {
	t.Helper()
	npm := brokertest.FindProgram(t, "npm")
	project.Lock()
	defer project.Unlock()
	if project.folder != "" {
		return project.folder
	}
	folder, err := os.MkdirTemp("", "centrifuge-sdk")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"type":"module","private":true}`), 0o600))
	install := exec.CommandContext(t.Context(), npm, append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts"}, packages...)...)
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install %s: %v\n%s", strings.Join(packages, " "), err, out)
	}
	project.folder = folder
	return folder
}

func removeSDK() {
	if project.folder != "" {
		_ = os.RemoveAll(project.folder)
	}
}

// runInNode runs a file of testdata in Node with the packages.
func runInNode(t *testing.T, file string, env ...string) {
	t.Helper()
	folder, program := installSDK(t), brokertest.FindProgram(t, "node", "nodejs")
	script, err := os.ReadFile(filepath.Join("testdata", file))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, file), script, 0o600))
	command := exec.CommandContext(t.Context(), program, "--test", "--test-timeout=120000", file)
	command.Dir, command.Env = folder, append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSDK runs the unmodified official JavaScript client through all its features, on two
// nodes, over every transport and in all formats. Clients on streams send their commands to
// the node that does not have the stream.
func TestSDK(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	for _, way := range []struct{ transport, format string }{
		{"websocket", "json"}, {"websocket", "protobuf"}, {"http_stream", "json"}, {"http_stream", "protobuf"}, {"sse", "json"},
	} {
		t.Run(way.transport+"/"+way.format, func(t *testing.T) {
			t.Parallel()
			runInNode(t, "sdk.test.mjs", "TRANSPORT="+way.transport, "FORMAT="+way.format, "ONE="+nodes[0].url, "TWO="+nodes[1].url)
		})
	}
}
