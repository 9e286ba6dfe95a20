package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/native"
)

// open opens a session of a user on some channels, without a connection.
func (n *node) open(user string, channels ...string) *gateway.Session {
	n.t.Helper()
	return n.openAs(gateway.Principal{User: user}, channels...)
}

func (n *node) openAs(p gateway.Principal, channels ...string) *gateway.Session {
	n.t.Helper()
	hello := gateway.Hello{Protocol: native.Protocol{}, Transport: "websocket", Principal: p}
	for _, channel := range channels {
		hello.Commands = append(hello.Commands, gateway.Subscribe{Channel: channel})
	}
	s, err := n.gateway.Open(n.t.Context(), hello)
	must(n.t, err)
	return s
}

// haunt makes the node believe in another node that never answers. It repeats this, because
// a node that has just started may not listen to others yet.
func (n *node) haunt() {
	n.t.Helper()
	brokertest.Eventually(n.t, "the node to know the ghost", func() bool {
		_, err := broker.Publish(context.Background(), n.broker.Memory, broker.Message{
			Channel: "tidegate nodes",
			Payload: []byte(`{"hello":{"node":"ghost","lease":3600000,"about":{"node":"ghost","host":"castle","version":"2","since":1700000000000,"sessions":7}}}`),
		}, broker.PublishOptions{})
		must(n.t, err)
		nodes, err := n.gateway.Nodes.List(n.t.Context())
		must(n.t, err)
		return slices.ContainsFunc(nodes, func(node gateway.NodeInfo) bool { return node.Node == "ghost" })
	})
}

func (n *node) get(path string, answer any) {
	n.t.Helper()
	must(n.t, json.Unmarshal([]byte(n.expect(call{method: "GET", path: path, credential: shopKey}, 200, "{")), answer))
}

func TestUsers_Sessions(t *testing.T) {
	n := startNode(t, noLimits)
	began := time.Now().UnixMilli()
	first := n.open("alice", "log:a", "open:b")
	n.open("bob", "log:a")
	second := n.open("alice")
	var answer struct {
		Sessions []struct {
			Session, Node, Transport, Protocol string
			Channels                           []string
			Since                              int64
		}
	}
	n.get("/api/users/alice/sessions", &answer)
	if len(answer.Sessions) != 2 {
		t.Fatalf("%+v, want two", answer)
	}
	for i, want := range []struct {
		session  *gateway.Session
		channels []string
	}{{first, []string{"@alice", "log:a", "open:b"}}, {second, []string{"@alice"}}} {
		got := answer.Sessions[i]
		if got.Session != want.session.ID() || got.Node != n.gateway.Node() || got.Transport != "websocket" || got.Protocol != "native" ||
			!slices.Equal(got.Channels, want.channels) || got.Since < began || got.Since > time.Now().UnixMilli() {
			t.Errorf("session %d is %+v, want %s on %v", i, got, want.session.ID(), want.channels)
		}
	}
	n.expect(call{method: "GET", path: "/api/users/nobody/sessions", credential: shopKey}, 200, `{"sessions":[]}`)
}

func TestUsers_Disconnect(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("a/b")
	n.open("a/b")
	n.open("bob")
	c := call{method: "DELETE", path: "/api/users/a%2Fb/sessions", credential: shopKey}
	n.expect(c, 200, `{"sessions":2}`)
	n.expect(c, 200, `{"sessions":0}`)
	n.expect(call{method: "GET", path: "/api/users/bob/sessions", credential: shopKey}, 200, `"node"`)
}

func TestUsers_SubscribeAndUnsubscribe(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("alice")
	n.open("alice")
	n.open("bob")
	path := "/api/users/alice/channels/room:secret"
	n.expect(call{method: "POST", path: path, credential: shopKey}, 200, `{"sessions":2}`)
	n.expect(call{method: "GET", path: "/api/channels?match=room:*", credential: shopKey}, 200,
		`{"channels":[{"channel":"room:secret","sessions":2,"users":1,"messages":0}]}`)
	n.expect(call{method: "DELETE", path: path, credential: shopKey}, 200, `{"sessions":2}`)
	n.expect(call{method: "DELETE", path: path, credential: shopKey}, 200, `{"sessions":0}`)
	n.expect(call{method: "GET", path: "/api/channels?match=room:*", credential: shopKey}, 200, `{"channels":[]}`)
}

func TestUsers_NamesThatCannotBe(t *testing.T) {
	n := startNode(t, noLimits)
	for path, want := range map[string]string{
		"/api/users/alice/channels/a%20b":                        "bad_request",
		"/api/users/alice/channels/tidegate%20nodes":             "bad_request",
		"/api/users/%FF/channels/a":                              "bad_request",
		"/api/users/" + strings.Repeat("u", 256) + "/channels/a": "bad_request",
		"/api/users/alice/channels/@bob":                         "forbidden",
		"/api/users/alice/channels/@alice":                       "forbidden",
	} {
		status := map[string]int{"bad_request": 400, "forbidden": 403}[want]
		n.expect(call{method: "POST", path: path, credential: shopKey}, status, want)
		n.expect(call{method: "DELETE", path: path, credential: shopKey}, status, want)
	}
	n.expect(call{method: "GET", path: "/api/users/%FF/sessions", credential: shopKey}, 400, "bad_request")
	n.expect(call{method: "DELETE", path: "/api/users/%FF/sessions", credential: shopKey}, 400, "bad_request")
}

func TestChannels_AreThoseWithSubscribers(t *testing.T) {
	n := startNode(t, noLimits)
	n.publish("log:quiet", "", "1")
	n.open("alice", "log:a", "log:b")
	n.open("alice", "log:a")
	n.open("bob", "log:a")
	n.open("", "log:a")
	for query, want := range map[string]string{
		"":               `{"channels":[{"channel":"@alice","sessions":2,"users":1,"messages":0},{"channel":"@bob","sessions":1,"users":1,"messages":0},{"channel":"log:a","sessions":4,"users":2,"messages":0},{"channel":"log:b","sessions":1,"users":1,"messages":0}]}`,
		"?match=log:*":   `{"channels":[{"channel":"log:a","sessions":4,"users":2,"messages":0},{"channel":"log:b","sessions":1,"users":1,"messages":0}]}`,
		"?match=*:b":     `{"channels":[{"channel":"log:b","sessions":1,"users":1,"messages":0}]}`,
		"?match=nothing": `{"channels":[]}`,
		"?match=":        `{"channels":[]}`,
	} {
		n.expect(call{method: "GET", path: "/api/channels" + query, credential: shopKey}, 200, want)
	}
}

func TestPresence_IsWhoIsThere(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("bob", "club:a")
	for range 2 {
		n.openAs(gateway.Principal{User: "alice", Info: json.RawMessage(`{"name":"Alice"}`)}, "club:a")
	}
	n.open("carol", "club:b")
	n.expect(call{method: "GET", path: "/api/channels/club:a/presence", credential: shopKey}, 200,
		`{"members":[{"user":"alice","info":{"name":"Alice"},"sessions":2},{"user":"bob","sessions":1}]}`)
	n.expect(call{method: "GET", path: "/api/channels/club:c/presence", credential: shopKey}, 200, `{"members":[]}`)
	n.expect(call{method: "GET", path: "/api/channels/a%20b/presence", credential: shopKey}, 400, "bad_request")
}

func TestNodes_AreThoseAlive(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("alice")
	var answer struct {
		Nodes []struct {
			Node, Version string
			Sessions      int
			Since         int64
		}
	}
	n.get("/api/nodes", &answer)
	if len(answer.Nodes) != 1 {
		t.Fatalf("%+v, want one node", answer)
	}
	if got := answer.Nodes[0]; got.Node != n.gateway.Node() || got.Version != "v1" || got.Sessions != 1 || time.Since(time.UnixMilli(got.Since)) > time.Hour {
		t.Errorf("%+v", got)
	}
	n.haunt()
	n.expect(call{method: "GET", path: "/api/nodes", credential: shopKey}, 200,
		`{"node":"ghost","host":"castle","sessions":7,"version":"2","since":1700000000000}`)
}

func TestCluster_SilentNodeIs503AndWhoWasReachedIsTold(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("alice", "log:a")
	n.haunt()
	for _, test := range []struct{ method, path, sessions string }{
		{"GET", "/api/channels", ""},
		{"GET", "/api/users/alice/sessions", ""},
		{"POST", "/api/users/alice/channels/room:1", `"sessions":1`},
		{"DELETE", "/api/users/alice/channels/room:1", `"sessions":1`},
		{"DELETE", "/api/users/alice/sessions", `"sessions":1`},
	} {
		status, body, header := n.do(call{method: test.method, path: test.path, credential: shopKey})
		if status != 503 || !strings.Contains(body, "ghost") || !strings.Contains(body, test.sessions) || header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s %v, want 503 that names the ghost, %s and Retry-After", test.method, test.path, status, body, header, test.sessions)
		}
		if test.sessions == "" && strings.Contains(body, `"sessions"`) {
			t.Errorf("%s %s: %s", test.method, test.path, body)
		}
	}
}

func TestCluster_BrokerAwayIs503(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("alice")
	n.broker.away.Store(true)
	for _, c := range clusterCalls("alice") {
		n.expect(c, 503, "unavailable")
	}
	n.broker.away.Store(false)
	n.expect(call{method: "GET", path: "/api/users/alice/sessions", credential: shopKey}, 200, `"node"`)
}

// clusterCalls returns all calls that ask all nodes.
func clusterCalls(user string) (calls []call) {
	for _, route := range []string{
		"GET /api/channels", "GET /api/nodes", "GET /api/users/%s/sessions", "DELETE /api/users/%s/sessions",
		"POST /api/users/%s/channels/log:a", "DELETE /api/users/%s/channels/log:a",
	} {
		method, path, _ := strings.Cut(route, " ")
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, user)
		}
		calls = append(calls, call{method: method, path: path, credential: shopKey})
	}
	return calls
}
