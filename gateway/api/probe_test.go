package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidegate/gateway/api"
)

func TestProbe_SaysWhatTheNodeSees(t *testing.T) {
	n := startNodeFor(t, noLimits, api.Config{Version: "v1", Prefix: "tide:"})
	before := time.Now().UnixMilli()
	_, body, _ := n.do(call{method: "GET", path: "/api/probe", credential: shopKey, header: http.Header{
		"X-Forwarded-For": {"203.0.113.9", "203.0.113.10"}, "X-Forwarded-Proto": {"https"},
	}})
	var got struct {
		Node, Version, Prefix, Host, Address, Forwarded string
		Secure                                          bool
		Time                                            int64
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if got.Node != n.gateway.Node() || got.Version != "v1" || got.Prefix != "tide:" || "http://"+got.Host != n.url ||
		got.Address != "127.0.0.1" || got.Forwarded != "203.0.113.9, 203.0.113.10" || !got.Secure ||
		got.Time < before || got.Time > time.Now().UnixMilli() {
		t.Errorf("the node sees %s", body)
	}
}

func TestProbe_TellsNothingToStrangers(t *testing.T) {
	n := startNode(t, noLimits)
	n.expect(call{method: "GET", path: "/api/probe"}, 401, "unauthenticated")
	n.expect(call{method: "GET", path: "/api/probe?unanswered=open:a", credential: logKey}, 403, "forbidden")
}

// TestProbe_UnansweredIsToldOnItsChannel uses a raw connection, because a client of
// net/http may retry by itself.
func TestProbe_UnansweredIsToldOnItsChannel(t *testing.T) {
	n := startNode(t, noLimits)
	connection, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	must(t, err)
	defer connection.Close()
	must(t, connection.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(connection, "GET /api/probe?unanswered=log:a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+shopKey+"\r\n\r\n")
	must(t, err)
	if line, err := bufio.NewReader(connection).ReadString('\n'); err != io.EOF || line != "" {
		t.Errorf("answered %q, %v", line, err)
	}
	if got := n.broker.tried.Load(); got != 1 {
		t.Errorf("%d publishes, want 1", got)
	}
	n.expect(call{method: "GET", path: "/api/probe?unanswered=a%20b", credential: shopKey}, 400, "bad_request")
	if !strings.Contains(n.expect(call{method: "GET", path: "/api/nodes", credential: shopKey}, 200, "nodes"), n.gateway.Node()) {
		t.Error("the node is gone")
	}
}
