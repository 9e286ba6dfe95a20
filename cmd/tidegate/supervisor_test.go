package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// TestSupervisor_HearsWhenANodeIsReadyAndStops checks that the supervisor is notified, and that
// the node is not ready before Redis is available.
func TestSupervisor_HearsWhenANodeIsReadyAndStops(t *testing.T) {
	t.Parallel()
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	redis.Stop()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer socket.Close()
	hear := func() string {
		t.Helper()
		buf := make([]byte, 256)
		must(t, socket.SetReadDeadline(time.Now().Add(patience)))
		n, err := socket.Read(buf)
		must(t, err)
		return string(buf[:n])
	}
	p := startNode(t, []string{"NOTIFY_SOCKET=" + path, "TIDEGATE_REDIS_URL=" + redis.URL(), "TIDEGATE_DRAIN_WINDOW=1s"})
	p.waitFor("the broker is away")
	redis.Start()
	if said := hear(); !strings.HasPrefix(said, "READY=1\n") {
		t.Errorf("said %q, want READY=1", said)
	}
	if status, _ := get(t, p.internal("/readyz")); status != 200 {
		t.Errorf("/readyz: %d when it said that it is ready", status)
	}
	p.signal(syscall.SIGTERM)
	if said := hear(); !strings.HasPrefix(said, "STOPPING=1\n") {
		t.Errorf("said %q, want STOPPING=1", said)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
