package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"tidegate/gateway/webhook"
)

// The test runs itself in another process, since a process reads these variables once.
func TestClient_UsesTheProxyOfTheEnvironment(t *testing.T) {
	if os.Getenv("BEHIND_PROXY") == "" {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host != "backend.example" {
				t.Errorf("the proxy is asked for %s", r.URL)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		defer proxy.Close()
		test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		test.Env = append(os.Environ(), "BEHIND_PROXY=yes", "HTTP_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	c := webhook.NewClient()
	defer c.Close()
	status, _, err := c.Post(t.Context(), "http://backend.example/tidegate", http.Header{}, nil, true)
	if err != nil || status != http.StatusNoContent {
		t.Errorf("%d %v", status, err)
	}
}
