package console_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/console"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
	"tidegate/gateway/websocket"
)

// cluster holds what outlives a node: the broker and the address.
type cluster struct {
	t       *testing.T
	memory  *broker.Memory
	address string
	leave   func() // stops mind
	prefix  string // path prefix of all URLs, as a proxy may add it

	extra http.Handler // served under /built/; may be nil

	deflate *websocket.Deflate // compression of the nodes; nil for none
	rules   rules.List         // of the nodes
	barred  bool               // the nodes have no workbench, as outside development

	noWebSocket atomic.Bool // /ws answers 403, as behind some proxies
	noEvents    atomic.Bool // /events is held back, as behind other proxies
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, memory: broker.NewMemory(), address: brokertest.FreeAddress(t), leave: func() {}, rules: rules.Development()}
}

// mind runs the broker while there is no node, until leave is called.
func (c *cluster) mind() (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { c.memory.Run(ctx, deaf{}); close(ended) }()
	return func() { cancel(); <-ended }
}

func (c *cluster) url() string { return "http://" + c.address + c.prefix }

// start runs a node until stop is called or the test ends. Backends can publish even while
// no node runs.
func (c *cluster) start() (stop func()) {
	c.t.Helper()
	c.leave()
	g, err := gateway.New(gateway.Config{
		Broker: c.memory, History: c.memory, Presence: c.memory, Auth: names{},
		Rules: c.rules, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sockets := &websocket.Server{Gateway: g, Deflate: c.deflate}
	hangUp := gatewaytest.Serve(listener, http.StripPrefix(c.prefix, c.routes(g, sockets)))
	ended := make(chan struct{})
	go func() { g.Run(ctx); ended <- struct{}{} }()
	stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		hangUp()
		<-ended
		sockets.Wait()
		c.leave = c.mind()
	}
	c.t.Cleanup(func() { stop(); c.leave() })
	brokertest.Eventually(c.t, "the node is ready", func() bool { return g.Ready() == nil })
	return stop
}

func (c *cluster) routes(g *gateway.Gateway, sockets *websocket.Server) http.Handler {
	webSocket := sockets.Handler(func(*http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
	}, native.Subprotocol)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if c.noWebSocket.Load() {
			http.Error(w, "no upgrades here", http.StatusForbidden)
			return
		}
		webSocket.ServeHTTP(w, r)
	})
	events := &transport.SSE{Gateway: g, Native: native.Protocol{}}
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		if c.noEvents.Load() {
			<-r.Context().Done()
			return
		}
		events.ServeHTTP(w, r)
	})
	mux.Handle("GET /poll", &transport.LongPoll{Gateway: g, Native: native.Protocol{}})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.Handle("/api/", api.New(api.Config{Gateway: g, Anonymous: gateway.Principal{Key: "development"}}))
	mux.HandleFunc("GET /application", func(w http.ResponseWriter, _ *http.Request) { // a page without the console's policy
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>An application</title>")
	})
	mux.HandleFunc("GET /built/", func(w http.ResponseWriter, r *http.Request) { c.extra.ServeHTTP(w, r) })
	if !c.barred {
		mux.Handle("/dev", newWorkbench().Handler())
		mux.Handle("/dev/", newWorkbench().Handler())
	}
	mux.Handle("/", console.Handler())
	return mux
}

// publish publishes through the broker, independently of any node.
func (c *cluster) publish(channel, payload string) {
	c.t.Helper()
	_, err := broker.Publish(c.t.Context(), c.memory,
		broker.Message{Channel: channel, Payload: []byte(payload), Kind: broker.JSON, Time: time.Now()},
		broker.PublishOptions{HistorySize: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
}

const patience = time.Minute

// deaf is a broker's receiver that ignores everything. It keeps the broker running while
// there is no node.
type deaf struct{}

func (deaf) Receive(broker.Message) {}
func (deaf) Gap([]string, error)    {}
func (deaf) Link(error)             {}
func (deaf) Rest()                  {}

// names authenticates the token "user alice" as the user alice.
type names struct{}

func (names) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	user, found := strings.CutPrefix(token, "user ")
	if !found && token != "" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "this token is nobody's"}
	}
	return gateway.Principal{User: user}, nil
}
