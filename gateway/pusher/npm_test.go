package pusher

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// officialPackages returns a folder with our scripts and what they import, from npm.
func officialPackages(t testing.TB) string {
	t.Helper()
	npm, folder := brokertest.FindProgram(t, "npm"), filepath.Join(t.TempDir(), "official")
	if err := os.CopyFS(folder, os.DirFS("testdata/official")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir, install.Env = folder, append(os.Environ(), "npm_config_update_notifier=false")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	return folder
}

// The official libraries of browsers and of backends, as npm has them.
func TestOfficial_PusherJSAndPusher(t *testing.T) {
	script := brokertest.FindProgram(t, "node", "nodejs")
	folder := officialPackages(t)
	n := startNode(t, gateway.Config{})
	test := exec.CommandContext(t.Context(), script, "--test", "--test-timeout=120000", "pusher.test.mjs")
	test.Dir = folder
	test.Env = append(os.Environ(), "GATEWAY="+n.host(), "APP_ID="+shop.ID, "APP_KEY="+shop.Key, "APP_SECRET="+shop.Secret)
	if out, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
