package deploy

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"tidegate/broker/brokertest"
)

const nginxFile = "nginx/nginx.conf"

// TestNginx_GoesPastNodesThatRefuse: one that drains answers 503, and one that has
// ended refuses the connection.
func TestNginx_GoesPastNodesThatRefuse(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	address := startNginx(t, nodes...)
	nodes[0].draining.Store(true)
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

func TestNginx_PublishesGoPastNodesThatEnded(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	address := startNginx(t, nodes...)
	nodes[0].kill()
	nodes[1].kill()
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, strings.NewReader("hi"))
		must(t, err)
		if got := do(t, request); got != "c" {
			t.Fatalf("a publish went to %q, want c", got)
		}
	}
}

func TestNginx_AsksNothingTwiceThatEndsANode(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	expectOneEnds(t, startNginx(t, nodes...), nodes)
}

// TestNginx_SaysWhenNoNodeIsLeft: it does not go round in circles.
func TestNginx_SaysWhenNoNodeIsLeft(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b")}
	address := startNginx(t, nodes...)
	for _, n := range nodes {
		n.kill()
	}
	response, err := http.Get("http://" + address)
	must(t, err)
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusBadGateway {
		t.Errorf("answered %s, want 502", response.Status)
	}
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/events?channel=a&access_token=secret", nil)
	must(t, err)
	if got := do(t, stream); got != "retry: 5000\n\n" {
		t.Errorf("an EventSource hears %q where no node answers, want only when to come back", got)
	}
}

// startNginx runs nginx with the project's file, but for the addresses, and returns
// where it listens.
func startNginx[Node place](t *testing.T, nodes ...Node) (address string) {
	t.Helper()
	return startNginxWith(t, read(t, nginxFile), nodes...)
}

func startNginxWith[Node place](t *testing.T, config string, nodes ...Node) (address string) {
	t.Helper()
	address, socket := listen(t)
	var servers []string
	for _, n := range nodes {
		servers = append(servers, "        server "+n.address()+" max_fails=1 fail_timeout=2s;")
	}
	for range 2 { // in both upstreams
		config = replaceLine(t, config, "        server 127.0.0.1:8081 ", strings.Join(servers, "\n"))
		config = replaceLine(t, config, "        server 127.0.0.1:8082 ", "")
	}
	config = replaceLine(t, config, "        listen 8080", "        listen "+address+";")
	config = replaceLine(t, config, "worker_rlimit_nofile ", "")
	config = replaceLine(t, config, "    worker_connections ", "    worker_connections 500;")
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, config)

	cmd := exec.Command(brokertest.FindProgram(t, "nginx"), "-p", dir, "-c", file, "-e", "/dev/stderr", "-g", "daemon off; pid nginx.pid;")
	cmd.Env = append(os.Environ(), "NGINX=3;") // how it hands its sockets to a new binary
	cmd.ExtraFiles = []*os.File{socket}
	startBalancer(t, cmd)
	return address
}
