package client_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/client"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/websocket"
)

// cluster is a set of real gateways on one Redis. As behind a load balancer, one of them at
// a time accepts new connections.
type cluster struct {
	t        *testing.T
	redis    *brokertest.RedisServer
	front    *httptest.Server
	cuttable *cuttable
	newest   atomic.Pointer[node]
}

// node is one gateway, which runs until it is stopped.
type node struct {
	gateway   *gateway.Gateway
	webSocket *websocket.Server
	handler   http.Handler
	stop      func()
}

// keepsAll keeps more than is published while a client reconnects on a busy machine.
var keepsAll = rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10_000}}

func startCluster(t *testing.T) *cluster {
	c := &cluster{t: t, redis: brokertest.StartRedis(t)}
	c.start()
	c.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.newest.Load().handler.ServeHTTP(w, r)
	}))
	c.cuttable = &cuttable{Listener: c.front.Listener, accepted: make(chan *os.File, 1024)}
	c.front.Listener = c.cuttable
	c.front.Start()
	t.Cleanup(c.front.Close)
	return c
}

// cuttable is a listener that keeps its connections, so that a test can break them.
type cuttable struct {
	net.Listener
	accepted chan *os.File // duplicates: the gateway takes the connections over
}

func (l *cuttable) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	duplicate, err := conn.(*net.TCPConn).File()
	if err == nil {
		l.accepted <- duplicate
	}
	return conn, err
}

// cut breaks two connections. It blocks until there are two.
func (c *cluster) cut() {
	c.t.Helper()
	for range 2 {
		select {
		case conn := <-c.cuttable.accepted:
			shutDown(c.t, conn)
		case <-time.After(patience):
			c.t.Fatal("nobody connected")
		}
	}
}

func shutDown(t *testing.T, conn *os.File) {
	t.Helper()
	defer conn.Close()
	control, err := conn.SyscallConn()
	if err == nil {
		err = control.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // the client may have closed it
	}
	if err != nil {
		t.Error(err)
	}
}

// start adds a node, which accepts the connections from now on.
func (c *cluster) start() *node {
	c.t.Helper()
	redis, err := broker.NewRedis(broker.RedisConfig{URL: c.redis.URL()})
	if err != nil {
		c.t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{
		Broker: redis, History: redis, Rules: keepsAll, DrainWindow: 100 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	n := &node{gateway: g, webSocket: &websocket.Server{Gateway: g}}
	n.handler = n.webSocket.Handler(func(*http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
	}, native.Subprotocol)
	n.stop = gatewaytest.Run(c.t, g, n.webSocket.Wait)
	c.newest.Store(n)
	return n
}

// drain makes the sessions of the node reconnect, and stops the node.
func (c *cluster) drain(n *node) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	err := n.gateway.Shutdown(ctx)
	cancel()
	if err != nil {
		c.t.Errorf("Shutdown: %v", err)
	}
	n.stop()
}

func (c *cluster) url() string { return "ws" + c.front.URL[len("http"):] + "/ws" }

// wantInOrder receives the messages 0 to count-1, each once and without a gap.
func wantInOrder(t *testing.T, s *client.Subscription, count int) {
	t.Helper()
	for i := range count {
		m, ok := receive(t, s).(client.Message)
		if !ok || string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("received %+v, want message %d", m, i)
		}
	}
}

// publishUntil publishes 0, 1, 2 and so on, each after the previous one is confirmed, and
// returns how many it has published.
func publishUntil(t *testing.T, c *running, confirmed *atomic.Int64, done <-chan struct{}) int {
	for i := 0; ; i++ {
		select {
		case <-done:
			return i
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := c.Publish(ctx, client.Message{Channel: "c", Payload: fmt.Append(nil, i)})
		cancel()
		if err != nil {
			t.Errorf("publish %d: %v", i, err)
			return i
		}
		confirmed.Add(1)
	}
}

// awaitMore blocks until the count has grown by more.
func awaitMore(t *testing.T, count *atomic.Int64, more int64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for want := count.Load() + more; count.Load() < want; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no progress: %d of %d", count.Load(), want)
		}
	}
}

// underLoad calls do several times on a cluster while one client publishes and another
// receives. All messages must arrive, once and in order.
func underLoad(t *testing.T, c *cluster, times int, do func()) {
	publisher := run(t, client.Config{URL: c.url()})
	subscriber := run(t, client.Config{URL: c.url()})
	s := subscriber.subscribing("c", client.SubscribeOptions{})()
	received := make(chan []string, 1)
	go func() { received <- receiveUntilEnd(t, s) }()
	done := make(chan struct{})
	count := make(chan int, 1)
	var confirmed atomic.Int64
	go func() { count <- publishUntil(t, publisher, &confirmed, done) }()
	for range times {
		awaitMore(t, &confirmed, 20)
		do()
	}
	awaitMore(t, &confirmed, 20)
	close(done)
	n := <-count
	if _, err := publisher.Publish(t.Context(), client.Message{Channel: "c", Kind: client.Text, Payload: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	got := <-received
	for i := range n {
		if i >= len(got) || got[i] != fmt.Sprint(i) {
			t.Fatalf("event %d of %d is %q, want message %d", i, len(got), append(got, "missing")[min(i, len(got))], i)
		}
	}
	if len(got) != n {
		t.Errorf("received %d events of %d messages", len(got), n)
	}
}

// receiveUntilEnd returns the payloads of all messages, and a description of every other event.
func receiveUntilEnd(t *testing.T, s *client.Subscription) (events []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for {
		event, err := s.Receive(ctx)
		m, ok := event.(client.Message)
		switch {
		case err != nil:
			return append(events, err.Error())
		case !ok:
			events = append(events, fmt.Sprintf("%+v", event))
		case m.Kind == client.Text:
			return events
		default:
			events = append(events, string(m.Payload))
		}
	}
}

func TestClient_RollingRestartLosesNothing(t *testing.T) {
	c := startCluster(t)
	underLoad(t, c, 5, func() {
		old := c.newest.Load()
		c.start()
		c.drain(old)
	})
}

func TestClient_NodesThatEndWithoutDrainLoseNothing(t *testing.T) {
	c := startCluster(t)
	underLoad(t, c, 5, func() {
		old := c.newest.Load()
		c.start()
		old.stop()
	})
}

func TestClient_CutConnectionsLoseNothing(t *testing.T) {
	c := startCluster(t)
	underLoad(t, c, 10, c.cut)
}

func TestClient_RedisIsRestartedWithoutItsData(t *testing.T) {
	c := startCluster(t)
	publisher := run(t, client.Config{URL: c.url()})
	subscriber := run(t, client.Config{URL: c.url()})
	s := subscriber.subscribing("c", client.SubscribeOptions{})()
	publish := func(payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := publisher.Publish(ctx, client.Message{Channel: "c", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	publish("0")
	wantInOrder(t, s, 1)
	c.redis.Stop()
	c.redis.Start()
	publish("1") // blocks until the broker is back
	if e, ok := receive(t, s).(client.Gap); !ok {
		t.Errorf("received %+v, want a gap", e)
	}
	if m, ok := receive(t, s).(client.Message); !ok || string(m.Payload) != "1" {
		t.Errorf("received %+v, want message 1", m)
	}
}

func TestClient_JSONIsPublishedWithoutEscapes(t *testing.T) {
	c := run(t, client.Config{URL: startCluster(t).url()})
	s := c.subscribing("c", client.SubscribeOptions{})()
	const payload = "{\"html\":\"<b>Q&A</b>\u2028\"}"
	if _, err := c.Publish(t.Context(), client.Message{Channel: "c", Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	if m, ok := receive(t, s).(client.Message); !ok || string(m.Payload) != payload {
		t.Errorf("received %s, want %s", m.Payload, payload)
	}
}
