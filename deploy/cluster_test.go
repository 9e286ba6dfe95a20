package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidegate/broker/brokertest"
)

const (
	patience = time.Minute
	theKey   = "the key of these tests, for backends"
)

// clusterFile is the configuration of the nodes of these tests. The webhook's backend
// is away.
const clusterFile = `
redis: {url: %q}
presence: {lease: 2s}
drain: {window: 1s}
auth: {api_keys: [{name: test, key: "` + theKey + `"}], jwt: {secret: 0123456789abcdef0123456789abcdef}}
webhooks: {url: "http://127.0.0.1:1/", secret: 0123456789abcdef0123456789abcdef, events: [publish], when_away: allow}
limits: {outbox_bytes: 65536, message_bytes: 65536, channels_per_session: 4}
channels:
  - {match: "short:*", subscribe: anyone, history: {size: 1}}
  - {match: "kept:*", subscribe: anyone, history: {size: 1000}}
  - {match: "late:*", subscribe: anyone, delay: 400ms}
  - {match: "open:*", subscribe: anyone, publish: anyone}
`

// gatewayNode is a real node of a test.
type gatewayNode struct {
	t                *testing.T
	public, internal string // addresses
	args             []string
	process          *exec.Cmd
	log              safeBuffer
}

// startGateway runs a node until the test ends, with so many file descriptors.
func startGateway(t *testing.T, config string, descriptors int, flags ...string) *gatewayNode {
	t.Helper()
	n := &gatewayNode{t: t, public: brokertest.FreeAddress(t), internal: brokertest.FreeAddress(t)}
	n.args = []string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors), tidegate(t),
		"--config", config, "--listen", n.public, "--internal-listen", n.internal}
	n.args = append(n.args, flags...)
	t.Cleanup(n.kill)
	n.start()
	return n
}

func (n *gatewayNode) start() {
	n.t.Helper()
	n.process = exec.Command("sh", n.args...)
	n.process.Stdout, n.process.Stderr = &n.log, &n.log
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
	brokertest.Eventually(n.t, "a node to be ready", func() bool { return status(n.t.Context(), "http://"+n.internal+"/readyz") == http.StatusOK })
}

// kill ends the node without a word.
func (n *gatewayNode) kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
	if n.t.Failed() {
		n.t.Logf("%s:\n%.2000s", n.public, n.log.String())
	}
}

func (n *gatewayNode) label() string   { return strings.ReplaceAll(n.public, ":", "_") }
func (n *gatewayNode) address() string { return n.public }
func (n *gatewayNode) said() string    { return n.log.String() }

// safeBuffer is a log that is read while it grows.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// publish publishes as a backend, or, without a key, as an anonymous client.
func (n *gatewayNode) publish(ctx context.Context, channel, key string, payload string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.public+"/api/channels/"+channel+"/messages", strings.NewReader(payload))
	if err != nil {
		return
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// listener opens a WebSocket on channels, which reads what comes until the test ends or
// it is closed.
func (n *gatewayNode) listener(channels ...string) *websocket.Conn {
	n.t.Helper()
	c, _, err := websocket.Dial(n.t.Context(), "ws://"+n.public+"/ws", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.CloseNow() })
	for _, channel := range channels {
		if err := c.Write(n.t.Context(), websocket.MessageText, []byte(`{"type":"subscribe","id":1,"channel":"`+channel+`"}`)); err != nil {
			n.t.Fatal(err)
		}
	}
	go func() {
		for {
			if _, _, err := c.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	return c
}

// repeat does something again and again until the returned function is called.
func repeat(t *testing.T, every time.Duration, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				do(ctx)
			}
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// status returns that of an answer; 0: there was none.
func status(ctx context.Context, url string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// startRealCluster runs a Redis, and two nodes with further flags, until the test ends.
func startRealCluster(t *testing.T, flags ...string) (redis *brokertest.RedisServer, a, b *gatewayNode) {
	t.Helper()
	brokertest.RequireRedis(t)
	redis = brokertest.StartRedis(t)
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write(t, file, fmt.Sprintf(clusterFile, redis.URL()))
	return redis, startGateway(t, file, 128, flags...), startGateway(t, file, 1024, flags...)
}

func cursorOf(t *testing.T, n *gatewayNode, channel string) string {
	t.Helper()
	n.publish(t.Context(), channel, theKey, "1")
	body := get(t, n.public+"/poll?channel="+channel)
	found := regexp.MustCompile(`"cursor":"([^"]+)"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no cursor: %s", body)
	}
	return found[1]
}
