package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/client"
)

// balancers starts the real programs, with the files of this folder, and returns where they
// listen.
var balancers = map[string]func(*testing.T, ...place) string{
	"haproxy": func(t *testing.T, nodes ...place) string { return startHAProxy(t, nodes...).clients },
	"nginx":   func(t *testing.T, nodes ...place) string { return startNginx(t, nodes...) },
	"caddy":   func(t *testing.T, nodes ...place) string { return startCaddy(t, nodes...) },
}

// TestBalancers_NoClientTakesANodeOut: neither an answer of 503, which every node gives for
// instance while the webhook's backend is away, nor a request that its client breaks off
// stands for a node that fails.
func TestBalancers_NoClientTakesANodeOut(t *testing.T) {
	for name, startBefore := range balancers {
		t.Run(name, func(t *testing.T) {
			address := startBefore(t, newNode(t, "a"), newNode(t, "b"))
			for range 4 {
				if got := status(t.Context(), "http://"+address+"/unavailable"); got != http.StatusServiceUnavailable {
					t.Errorf("answered %d, want 503", got)
				}
				get(t, address)
			}
			for range 4 {
				if response, err := http.Post("http://"+address, "text/plain", iotest.ErrReader(errors.New("the client is gone"))); err == nil {
					response.Body.Close()
				}
				get(t, address)
			}
		})
	}
}

func TestBalancers_LogNoTokenWhenTheOnlyNodeEnded(t *testing.T) {
	for name, startBefore := range balancers {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "a")
			address := startBefore(t, n)
			n.kill()
			for range 3 {
				if got := status(t.Context(), "http://"+address+"/poll?access_token=secret"); got != http.StatusBadGateway && got != http.StatusServiceUnavailable {
					t.Errorf("answered %d, want 502 or 503", got)
				}
			}
		})
	}
}

// TestBalancers_PassOnAllThatClientsSpeak has real nodes behind the real programs.
func TestBalancers_PassOnAllThatClientsSpeak(t *testing.T) {
	for name, startBefore := range balancers {
		t.Run(name, func(t *testing.T) {
			_, a, b := startRealCluster(t, "--trusted-proxies=127.0.0.1")
			edge := &gatewayNode{t: t, public: startBefore(t, a, b)}
			t.Run("Server-Sent Events at once", edge.streams)
			t.Run("long-polls", edge.polls)
			t.Run("a large batch", edge.takesABatch)
			t.Run("where clients are", func(t *testing.T) { edge.tellsAddresses(t, a, b) })
			t.Run("a node that drains", func(t *testing.T) { edge.drains(t, a, b) })
		})
	}
}

// streams sees each message arrive while the stream goes on: nothing waits in a buffer.
func (n *gatewayNode) streams(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.public+"/events?channel=short:sse", nil)
	must(t, err)
	stream, err := http.DefaultTransport.RoundTrip(request)
	must(t, err)
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for i := range 3 {
		want := fmt.Sprintf("data: %d", i)
		n.publish(ctx, "short:sse", theKey, fmt.Sprint(i))
		for lines.Scan() && lines.Text() != want {
		}
		if lines.Text() != want {
			t.Fatalf("the stream ended before %q: %v", want, lines.Err())
		}
	}
}

// polls sees a poll answered by what is published while it waits.
func (n *gatewayNode) polls(t *testing.T) {
	cursor := cursorOf(t, n, "short:poll")
	stop := repeat(t, 200*time.Millisecond, func(ctx context.Context) { n.publish(ctx, "short:poll", theKey, `"news"`) })
	defer stop()
	if answer := get(t, n.public+"/poll?channel=short:poll&wait=60s&cursor="+cursor); !strings.Contains(answer, `"news"`) {
		t.Errorf("the poll answered %s", answer)
	}
}

// takesABatch publishes a batch that is nearly as large as the gateway accepts.
func (n *gatewayNode) takesABatch(t *testing.T) {
	const items, bytes = 140, 50_000
	item := `{"channels":["open:batch"],"text":"` + strings.Repeat("x", bytes) + `"}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.public+"/api/messages", strings.NewReader("["+item+strings.Repeat(","+item, items-1)+"]"))
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+theKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultTransport.RoundTrip(request)
	must(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("a batch of %d bytes is answered %s", items*bytes, response.Status)
	}
}

// tellsAddresses has a client come from 127.0.0.2, say that it is somebody else, and be
// known by where it comes from.
func (n *gatewayNode) tellsAddresses(t *testing.T, nodes ...*gatewayNode) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+n.public+"/api/users/nobody/sessions", nil)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+theKey)
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	response, err := transport.RoundTrip(request)
	must(t, err)
	response.Body.Close()
	brokertest.Eventually(t, "the address in a node's log", func() bool {
		return strings.Contains(nodes[0].said()+nodes[1].said(), "remote=127.0.0.2")
	})
	if strings.Contains(nodes[0].said()+nodes[1].said(), "203.0.113.9") {
		t.Error("what the client claims to be counts")
	}
}

// drains ends a node under clients, all of which hear every message.
func (n *gatewayNode) drains(t *testing.T, leaving, staying *gatewayNode) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var listeners []*client.Subscription
	for range 6 {
		c := client.New(client.Config{URL: "ws://" + n.public + "/ws", RetryDelay: 10 * time.Millisecond})
		running.Go(func() { _ = c.Run(ctx) })
		s, err := c.Subscribe(ctx, "kept:a", client.SubscribeOptions{})
		must(t, err)
		listeners = append(listeners, s)
	}
	const messages = 200
	running.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for i := range messages {
			if i == messages/4 {
				_ = leaving.process.Process.Signal(syscall.SIGTERM)
			}
			staying.publish(ctx, "kept:a", theKey, fmt.Sprint(i))
			<-pace.C
		}
	})
	for i, s := range listeners {
		for want := range messages {
			event, err := s.Receive(ctx)
			m, ok := event.(client.Message)
			if err != nil || !ok || string(m.Payload) != fmt.Sprint(want) {
				t.Fatalf("listener %d heard %+v, %v, want %d", i, event, err, want)
			}
		}
	}
	if err := leaving.process.Wait(); err != nil {
		t.Errorf("the node that drained: %v", err)
	}
}
