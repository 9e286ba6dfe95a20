package pusher

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
	"tidegate/gateway/websocket"
)

// patience is how long these tests wait for an expected event before they fail.
const patience = 30 * time.Second

// shop is the app that most tests use.
var shop = App{ID: "3", Key: documented.Key, Secret: documented.Secret}

// pusherRules are the rules from the guide.
func pusherRules() rules.List {
	return rules.List{
		{Match: "presence-cache-*", Subscribe: rules.Token, Publish: rules.Subscribers, Presence: true, JoinLeave: true, HistorySize: 1, HistoryTTL: 30 * time.Minute},
		{Match: "presence-*", Subscribe: rules.Token, Publish: rules.Subscribers, Presence: true, JoinLeave: true},
		{Match: "private-cache-*", Subscribe: rules.Token, Publish: rules.Subscribers, HistorySize: 1, HistoryTTL: 30 * time.Minute},
		{Match: "private-encrypted-cache-*", Subscribe: rules.Token, HistorySize: 1, HistoryTTL: 30 * time.Minute},
		{Match: "private-*", Subscribe: rules.Token, Publish: rules.Subscribers},
		{Match: "cache-*", Subscribe: rules.Anyone, HistorySize: 1, HistoryTTL: 30 * time.Minute},
		{Match: "*", Subscribe: rules.Anyone},
	}
}

// node is a running gateway with a real HTTP server.
type node struct {
	*gateway.Gateway
	t         testing.TB
	apps      Apps
	server    *httptest.Server
	webSocket *websocket.Server
	xhr       *XHR
	stop      func()
}

// startNode runs a gateway until the test ends. Fields of c that are not set get defaults
// for tests.
func startNode(t testing.TB, c gateway.Config, apps ...App) *node {
	t.Helper()
	if c.Broker == nil {
		memory := broker.NewMemory()
		c.Broker, c.History, c.Presence = memory, memory, memory
	}
	if c.Rules == nil {
		c.Rules = pusherRules()
	}
	if c.Limits == (gateway.Limits{}) {
		c.Limits = gateway.DefaultLimits()
	}
	g, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Gateway: g, t: t, webSocket: &websocket.Server{Gateway: g, Origins: transport.Origins{"*"}}}
	if len(apps) == 0 {
		apps = []App{shop}
	}
	if err := n.apps.Set(apps); err != nil {
		t.Fatal(err)
	}
	n.xhr = NewXHR(g, &n.apps)
	n.server = httptest.NewServer(n.routes())
	n.run()
	return n
}

func (n *node) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/apps/", NewAPI(n.Gateway, &n.apps, slog.New(slog.DiscardHandler)))
	mux.Handle("/ws", n.webSocket.Handler(func(*http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: native.Protocol{}}, nil
	}))
	for _, path := range Paths {
		mux.Handle(path, n.webSocket.Handler(n.apps.Greet))
	}
	n.xhr.Route(mux, transport.CORS{Origins: transport.Origins{"*"}}.Handler)
	return mux
}

func (n *node) run() {
	n.t.Helper()
	count := n.Wall().Count
	n.Wall().Count = func() {
		count()
		n.t.Error("a panic was caught")
	}
	n.stop = gatewaytest.Run(n.t, n.Gateway, func() {
		n.server.Close()
		n.webSocket.Wait()
		n.xhr.Wait()
	})
}

// startPair runs two nodes of one gateway behind a load balancer that sends requests to them
// in turn. It returns the nodes and the balancer's address.
func startPair(t testing.TB, c gateway.Config, apps ...App) (nodes []*node, host string) {
	t.Helper()
	server := brokertest.StartRedis(t)
	for range 2 {
		redis, err := broker.NewRedis(broker.RedisConfig{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		c.Broker, c.History, c.Presence, c.Register = redis, redis, redis, redis
		nodes = append(nodes, startNode(t, c, apps...))
	}
	for _, n := range nodes {
		brokertest.Eventually(t, "the nodes know each other", func() bool {
			known, err := n.Nodes.List(t.Context())
			return err == nil && len(known) == len(nodes)
		})
	}
	return nodes, balance(t, nodes)
}

func balance(t testing.TB, nodes []*node) (host string) {
	t.Helper()
	var next atomic.Int64
	balancer := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", nodes[int(next.Add(1))%len(nodes)].host()
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	})
	t.Cleanup(balancer.Close)
	return strings.TrimPrefix(balancer.URL, "http://")
}

func (n *node) host() string { return strings.TrimPrefix(n.server.URL, "http://") }
