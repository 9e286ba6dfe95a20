package centrifuge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// listener is a client of some kind on a channel. It receives only the data.
type listener struct {
	kind  string
	heard chan string
}

// TestOneChannel_HeardAndSpokenByAll connects Centrifuge clients of both formats, native
// clients, Server-Sent Events and redis-cli to one channel, on two nodes: what one
// publishes, all receive.
func TestOneChannel_HeardAndSpokenByAll(t *testing.T) {
	redis, nodes := startNodes(t, "one", "two")
	const channel = "meeting"
	var listeners []listener
	for _, n := range nodes {
		listeners = append(listeners,
			listenJSON(t, n, channel), listenProtobuf(t, n, channel), listenNative(t, n, channel), listenToEvents(t, n, channel))
	}
	speakers := map[string]func(data string){
		"redis-cli":  func(data string) { redis.CLI("PUBLISH", "tidegate:"+channel, data) },
		"centrifuge": speakJSON(t, nodes[0], channel),
		"native":     speakNative(t, nodes[1], channel),
		"HTTP":       func(data string) { postMessage(t, nodes[0], channel, data) },
	}
	for who, speak := range speakers {
		data := `{"from":"` + who + `"}`
		speak(data)
		for _, l := range listeners {
			if got := receive(t, l.heard); got != data {
				t.Errorf("%s spoke, and %s heard %s", who, l.kind, got)
			}
		}
	}
}

func receive(t *testing.T, heard <-chan string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case data := <-heard:
		return data
	case <-ctx.Done():
		t.Fatal("nothing was heard")
		return ""
	}
}

func dial(t *testing.T, n *node, path string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), n.url+path, nil)
	must(t, err)
	t.Cleanup(func() { _ = c.CloseNow() }) // it may be closed
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	must(t, c.Write(t.Context(), websocket.MessageText, []byte(text)))
}

// hear reads frames until pick reports that it has found what it wants.
func hear(t *testing.T, c *websocket.Conn, pick func(frame []byte) (found bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, frame, err := c.Read(ctx)
		must(t, err)
		if pick(frame) {
			return
		}
	}
}

// passOn sends what pick finds in frames to a listener, until the connection ends.
func passOn(t *testing.T, c *websocket.Conn, kind string, pick func(frame []byte) (data string)) listener {
	l := listener{kind, make(chan string, 16)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, frame, err := c.Read(context.Background())
			if err != nil {
				return
			}
			if data := pick(frame); data != "" {
				l.heard <- data
			}
		}
	}()
	t.Cleanup(func() { _ = c.CloseNow(); <-ended })
	return l
}

func contains(text string) func([]byte) bool {
	return func(frame []byte) bool { return strings.Contains(string(frame), text) }
}

func connectJSON(t *testing.T, n *node) *websocket.Conn {
	t.Helper()
	c := dial(t, n, "/connection/websocket")
	say(t, c, `{"id":1,"connect":{}}`)
	hear(t, c, contains(`"connect":`))
	return c
}

func listenJSON(t *testing.T, n *node, channel string) listener {
	t.Helper()
	c := connectJSON(t, n)
	say(t, c, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`)
	hear(t, c, contains(`"subscribe":`))
	return passOn(t, c, "Centrifuge", func(frame []byte) string {
		var reply struct {
			Push struct {
				Pub struct{ Data json.RawMessage }
			}
		}
		_ = json.Unmarshal(frame, &reply)
		return string(reply.Push.Pub.Data)
	})
}

func speakJSON(t *testing.T, n *node, channel string) func(string) {
	c := connectJSON(t, n)
	return func(data string) {
		say(t, c, `{"id":3,"publish":{"channel":"`+channel+`","data":`+data+`}}`)
		hear(t, c, contains(`"publish":`))
	}
}

func listenNative(t *testing.T, n *node, channel string) listener {
	t.Helper()
	c := dial(t, n, "/ws")
	say(t, c, `{"type":"subscribe","id":1,"channel":"`+channel+`"}`)
	hear(t, c, contains(`"subscribed"`))
	return passOn(t, c, "native", func(frame []byte) string {
		var message struct{ Data json.RawMessage }
		_ = json.Unmarshal(frame, &message)
		return string(message.Data)
	})
}

func speakNative(t *testing.T, n *node, channel string) func(string) {
	c := dial(t, n, "/ws")
	return func(data string) {
		say(t, c, `{"type":"publish","id":2,"channel":"`+channel+`","data":`+data+`}`)
		hear(t, c, contains(`"published"`))
	}
}

func postMessage(t *testing.T, n *node, channel, data string) {
	t.Helper()
	response, err := http.Post(n.url+"/api/channels/"+channel+"/messages", "application/json", strings.NewReader(data))
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST: %s", response.Status)
	}
}

func listenToEvents(t *testing.T, n *node, channel string) listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/events?channel="+channel, nil)
	must(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	must(t, err)
	l, ended, live := listener{"SSE", make(chan string, 16)}, make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(live) })
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "id:") {
				begin()
			}
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				l.heard <- data
			}
		}
	}()
	t.Cleanup(func() { cancel(); response.Body.Close(); <-ended; client.CloseIdleConnections() })
	receiveSignal(t, live)
	return l
}

func receiveSignal(t *testing.T, signal <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-signal:
	case <-ctx.Done():
		t.Fatal("the stream is not live")
	}
}
