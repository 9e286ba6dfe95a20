package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"tidegate/broker/brokertest"
)

// span is a span that the collector has received.
type span struct {
	name, trace, id, parent, node string
	attributes                    map[string]string
	failed                        string
}

// standIn is an OpenTelemetry collector that keeps what it receives over OTLP.
type standIn struct {
	*httptest.Server

	mu    sync.Mutex
	spans []span
}

func startCollector(t *testing.T) *standIn {
	c := &standIn{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var told collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &told) != nil {
			t.Errorf("%s %s is no OTLP: %v", r.Method, r.URL, err)
			return
		}
		c.keep(&told)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *standIn) keep(told *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range told.ResourceSpans {
		node := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.instance.id" {
				node = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				one := span{s.Name, hex.EncodeToString(s.TraceId), hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), node, map[string]string{}, s.Status.GetMessage()}
				for _, a := range s.Attributes {
					one.attributes[a.Key] = a.Value.GetStringValue()
					if one.attributes[a.Key] == "" {
						one.attributes[a.Key] = fmt.Sprint(a.Value.GetIntValue())
					}
				}
				c.spans = append(c.spans, one)
			}
		}
	}
}

// await blocks until a trace has n spans and returns them.
func (c *standIn) await(t *testing.T, trace string, n int) (spans []span) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprint(n, " spans of ", trace), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		spans = nil
		for _, s := range c.spans {
			if s.trace == trace {
				spans = append(spans, s)
			}
		}
		return len(spans) >= n
	})
	return spans
}

const tracedRules = `
auth: {api_keys: [{name: shop, key: the-key-of-the-shop-and-no-other}]}
channels:
  - {match: "chat:*", subscribe: anyone, publish: anyone, history: {size: 10}}
`

// TestTracing_FollowsAMessageFromItsPublishToTheSocketsOfAllNodes publishes through the
// HTTP API and over a WebSocket, each in its own trace.
func TestTracing_FollowsAMessageFromItsPublishToTheSocketsOfAllNodes(t *testing.T) {
	t.Parallel()
	redis, told := brokertest.StartRedis(t), startCollector(t)
	file := write(t, "tidegate.yaml", tracedRules)
	environ := []string{
		"TIDEGATE_REDIS_URL=" + redis.URL(), "TIDEGATE_TRACING_ENABLED=true", "TIDEGATE_TRACING_RATIO=1",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + told.URL, "OTEL_BSP_SCHEDULE_DELAY=50",
	}
	one, two := startReady(t, environ, "--config", file), startReady(t, environ, "--config", file)
	for _, node := range []*process{one, two} {
		start(t, []string{"TIDEGATE_URL=" + node.public("")}, "subscribe", "chat:a")
	}
	awaitSessions(t, one, "chat:a", 2)

	const backends, clients, unwanted = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c", "2af7651916cd43dd8448eb211c80319c"
	post := func(trace, flag string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, one.public("/api/channels/chat:a/messages"), strings.NewReader("hello"))
		must(t, err)
		request.Header.Set("Authorization", "Bearer the-key-of-the-shop-and-no-other")
		request.Header.Set("traceparent", "00-"+trace+"-b7ad6b7169203331-"+flag)
		answer, err := http.DefaultClient.Do(request)
		must(t, err)
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status)
		}
	}
	post(unwanted, "00")
	post(backends, "01")
	socket, _, err := websocket.Dial(t.Context(), one.socket(), nil)
	must(t, err)
	defer socket.CloseNow()
	frame := `{"type":"publish","id":1,"channel":"chat:a","data":1,"traceparent":"00-` + clients + `-b7ad6b7169203331-00"}`
	must(t, socket.Write(t.Context(), websocket.MessageText, []byte(frame)))
	for _, trace := range []string{backends, clients} {
		spans := told.await(t, trace, 3)
		checkSpans(t, spans, "b7ad6b7169203331")
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	for _, s := range told.spans {
		if s.trace == unwanted {
			t.Errorf("%+v, whose backend traces it not", s)
		}
	}
}

// checkSpans expects one span of the publish and one of the delivery on each of two nodes.
func checkSpans(t *testing.T, spans []span, parent string) {
	t.Helper()
	publish, nodes := span{}, map[string]bool{}
	for _, s := range spans {
		if s.name == "publish" {
			publish = s
		}
	}
	for _, s := range spans {
		nodes[s.name+" "+s.node] = true
		wantParent := parent
		if s.name == "deliver" {
			wantParent = publish.id
			if s.attributes["tidegate.sessions"] != "1" || s.attributes["tidegate.written"] != "1" {
				t.Errorf("%+v, want one session that it was written to", s)
			}
		}
		if s.parent != wantParent || s.attributes["messaging.destination.name"] != "chat:a" || s.failed != "" {
			t.Errorf("%+v, want the parent %s", s, wantParent)
		}
	}
	if len(spans) != 3 || len(nodes) != 3 || publish.id == "" {
		t.Errorf("%+v, want a publish, and two deliveries", spans)
	}
}

// awaitSessions blocks until that many sessions of the cluster are on a channel.
func awaitSessions(t *testing.T, node *process, channel string, sessions int) {
	t.Helper()
	brokertest.Eventually(t, "the sessions to be there", func() bool {
		out, _, _ := operate(t, []string{"TIDEGATE_URL=" + node.internal(""), "TIDEGATE_API_KEY=the-key-of-the-shop-and-no-other"}, "channels", channel, "--json")
		var found struct{ Channels []struct{ Sessions int } }
		return json.Unmarshal([]byte(out), &found) == nil && len(found.Channels) == 1 && found.Channels[0].Sessions == sessions
	})
}
