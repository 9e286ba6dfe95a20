package pusher

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// officialPackages returns a folder with our scripts and the npm packages that they import.
func officialPackages(t testing.TB) string {
	t.Helper()
	npm, folder := brokertest.FindProgram(t, "npm"), filepath.Join(t.TempDir(), "official")
	must(t, os.CopyFS(folder, os.DirFS("testdata/official")))
	install := exec.CommandContext(t.Context(), npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir, install.Env = folder, append(os.Environ(), "npm_config_update_notifier=false")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	return folder
}

// runOfficial runs one of our scripts with the official libraries against a gateway.
func runOfficial(t *testing.T, folder, host, script string, env ...string) {
	t.Helper()
	test := exec.CommandContext(t.Context(), brokertest.FindProgram(t, "node", "nodejs"), "--test", "--test-timeout=120000", script)
	test.Dir = folder
	test.Env = append(append(os.Environ(), "GATEWAY="+host, "APP_ID="+shop.ID, "APP_KEY="+shop.Key, "APP_SECRET="+shop.Secret), env...)
	if out, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The test runs the official libraries for browsers and backends from npm. Their consecutive
// requests go to different nodes.
func TestOfficial_PusherJSAndPusher(t *testing.T) {
	folder := officialPackages(t)
	for _, transport := range []string{"ws", "xhr_streaming", "xhr_polling"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			_, host := startPair(t, gateway.Config{})
			runOfficial(t, folder, host, "pusher.test.mjs", "TRANSPORT="+transport)
		})
	}
}

// The library subscribes to all its channels at once, faster than a client may send commands.
func TestOfficial_SubscribesToManyChannelsAtOnce(t *testing.T) {
	n := startNode(t, gateway.Config{})
	runOfficial(t, officialPackages(t), n.host(), "many.test.mjs")
}

func TestOfficial_LaravelEcho(t *testing.T) {
	folder := officialPackages(t)
	_, host := startPair(t, gateway.Config{})
	runOfficial(t, folder, host, "echo.test.mjs")
}
