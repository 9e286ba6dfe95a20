package centrifuge_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
	"tidegate/gateway/websocket"
)

const patience = 30 * time.Second

// node is a gateway with all endpoints for clients.
type node struct {
	url     string
	gateway *gateway.Gateway
	stop    func() // stops the node, as does the end of the test
}

// startNodes starts nodes that share one Redis.
func startNodes(t *testing.T, names ...string) (redis *brokertest.RedisServer, nodes []*node) {
	t.Helper()
	redis = brokertest.StartRedis(t)
	for _, name := range names {
		nodes = append(nodes, startNode(t, redis, name))
	}
	return redis, nodes
}

func startNode(t *testing.T, redis *brokertest.RedisServer, name string) *node {
	t.Helper()
	shared, err := broker.NewRedis(broker.RedisConfig{URL: redis.URL(), Prefix: "tidegate:"})
	must(t, err)
	g, err := gateway.New(gateway.Config{
		Broker: shared, History: shared, Presence: shared, Auth: names{}, Node: name, Ping: time.Second,
		Hooks: answerer{}, PresenceLinger: 200 * time.Millisecond,
		Rules: rules.List{
			{Match: "closed:*"},
			{Match: "secret:*", Subscribe: rules.Token, Publish: rules.Anyone, Presence: true},
			{Match: "plain:*", Subscribe: rules.Anyone, Publish: rules.Anyone},
			{Match: "users:*", Subscribe: rules.Anyone, Presence: true, JoinLeave: true},
			{Match: "cache:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 1},
			{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, Presence: true, BySession: true, JoinLeave: true, HistorySize: 1000},
		},
	})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	sockets := &websocket.Server{Gateway: g, Origins: transport.Origins{"*"}, Log: slog.New(slog.DiscardHandler)}
	leave := gatewaytest.Serve(listener, routes(g, sockets))
	n := &node{url: "http://" + listener.Addr().String(), gateway: g}
	end := gatewaytest.Run(t, g, func() {})
	n.stop = sync.OnceFunc(func() {
		end()
		leave()
		sockets.Wait()
	})
	t.Cleanup(n.stop)
	return n
}

func routes(g *gateway.Gateway, sockets *websocket.Server) http.Handler {
	mux, cors := http.NewServeMux(), transport.CORS{Origins: transport.Origins{"*"}}
	mux.Handle("/connection/websocket", sockets.Handler(centrifuge.Greet, centrifuge.SubprotocolProtobuf, centrifuge.SubprotocolJSON))
	mux.Handle("/connection/uni_websocket", sockets.Handler(centrifuge.GreetOneWay))
	for path, stream := range map[string]http.Handler{
		"sse": centrifuge.NewStream(g, centrifuge.Events, false), "http_stream": centrifuge.NewStream(g, centrifuge.Lines, false),
		"uni_sse": centrifuge.NewStream(g, centrifuge.Events, true), "uni_http_stream": centrifuge.NewStream(g, centrifuge.Lines, true),
	} {
		mux.Handle("/connection/"+path, cors.Handler(stream))
	}
	mux.Handle("/emulation", cors.Handler(centrifuge.NewEmulation(g)))
	mux.Handle("/ws", sockets.Handler(func(*http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
	}, native.Subprotocol))
	mux.Handle("/events", &transport.SSE{Gateway: g, Native: native.Protocol{}})
	mux.Handle("POST /server/", &centrifuge.API{Gateway: g, Anonymous: gateway.Principal{Key: "backend"}})
	mux.Handle("/api/", api.New(api.Config{Gateway: g, Anonymous: gateway.Principal{Key: "backend"}}))
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>An application</title>")
	})
	return mux
}

// answerer is a backend that answers calls, returns the data of a connect or subscribe to
// the client, and adds it to the client's info on a channel.
type answerer struct{}

func (answerer) Wants(event gateway.HookEvent) bool {
	return event == gateway.OnRPC || event == gateway.OnConnect || event == gateway.OnSubscribe
}

func (answerer) Ask(_ context.Context, q *gateway.Question) error {
	switch {
	case q.Event == gateway.OnRPC && q.Call.Method != "echo":
		return &gateway.Error{Code: gateway.NotFound, Message: "no such method"}
	case q.Event == gateway.OnRPC:
		q.Answer = &gateway.Answer{Payload: q.Call.Payload, Kind: q.Call.Kind}
	case q.Data == "":
	case q.Event == gateway.OnSubscribe:
		q.Info, q.Told = []byte(q.Data), []byte(`{"shown":`+q.Data+`}`)
	default:
		q.Told = []byte(`{"said":` + q.Data + `}`)
	}
	return nil
}

func (answerer) Tell(context.Context, []gateway.Notice) error { return nil }

// names accepts tokens such as "user alice" for alice.
type names struct{}

func (names) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	if user, found := strings.CutPrefix(token, "brief "); found {
		return gateway.Principal{User: user, Expires: time.Now().Add(3 * time.Second)}, nil
	}
	if token == "old" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "it has ended", Reason: gateway.TokenExpired}
	}
	if words := strings.Fields(token); len(words) > 3 && words[0] == "channel" { // channel secret:a alice guest, for 3 s
		return gateway.Principal{
			User: words[2], Info: []byte(`{"role":"` + words[3] + `"}`), Expires: time.Now().Add(3 * time.Second),
			Token: gateway.TokenInfo{Shown: true, Channel: words[1]},
		}, nil
	}
	user, found := strings.CutPrefix(token, "user ")
	if !found && token != "" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "this token is nobody's"}
	}
	return gateway.Principal{User: user, Info: []byte(`{"name":"` + user + `"}`)}, nil
}
