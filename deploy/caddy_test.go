package deploy

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

const caddyFile = "caddy/Caddyfile"

// TestCaddy_GoesPastNodesThatEnded: a new session that none of them took goes to another one.
func TestCaddy_GoesPastNodesThatEnded(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	address := startCaddy(t, nodes...)
	nodes[0].kill()
	nodes[1].kill()
	for range 20 {
		if got := get(t, address); got != "c" {
			t.Fatalf("a request went to %q, want c", got)
		}
		if _, on := dial(t, address); on != "c" {
			t.Fatalf("a new session went to %q, want c", on)
		}
	}
}

func TestCaddy_AsksNothingTwiceThatEndsANode(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	expectOneEnds(t, startCaddy(t, nodes...), nodes)
}

func TestCaddy_TellsAnEventSourceToComeBackWhenNoNodeIsLeft(t *testing.T) {
	n := newNode(t, "a")
	address := startCaddy(t, n)
	n.kill()
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/events?channel=a&access_token=secret", nil)
	must(t, err)
	if got := do(t, stream); got != "retry: 5000\n\n" {
		t.Errorf("an EventSource hears %q, want only when to come back", got)
	}
	response, err := http.Get("http://" + address + "/poll?channel=a")
	must(t, err)
	defer response.Body.Close()
	var said struct{ Error struct{ Code string } }
	err = json.NewDecoder(response.Body).Decode(&said)
	if response.StatusCode < http.StatusInternalServerError || response.Header.Get("Content-Type") != "application/json" || said.Error.Code != "unavailable" {
		t.Errorf("another request is answered %d: %v, %+v", response.StatusCode, err, said)
	}
}

// startCaddy runs Caddy with the project's file, but for the addresses, and returns where
// it listens.
func startCaddy[Node place](t *testing.T, nodes ...Node) (address string) {
	t.Helper()
	address = brokertest.FreeAddress(t)
	var servers []string
	for _, n := range nodes {
		servers = append(servers, n.address())
	}
	config := replaceLine(t, read(t, caddyFile), ":8080 {", "http://"+address+" {")
	config = replaceLine(t, config, "\treverse_proxy ", "\treverse_proxy "+strings.Join(servers, " ")+" {")
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	write(t, file, config)

	cmd := exec.Command(brokertest.FindProgram(t, "caddy"), "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	startBalancer(t, cmd)
	brokertest.Eventually(t, "Caddy", func() bool { return status(t.Context(), "http://"+address+"/healthz") == http.StatusOK })
	return address
}
