package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/auth"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
)

const (
	shopKey = "the key of the shop, a backend"
	logKey  = "the key that may read log:* and nothing else"
	secret  = "the secret of the tokens of these tests"
)

var channelRules = rules.List{
	{Match: "log:*", Subscribe: rules.Anyone, Publish: rules.Authenticated, HistorySize: 10},
	{Match: "open:*", Subscribe: rules.Anyone, Publish: rules.Anyone},
	{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10},
	{Match: "room:*", Subscribe: rules.Token, Publish: rules.Token, HistorySize: 10},
	{Match: "club:*", Subscribe: rules.Authenticated, Presence: true},
}

// node is a gateway with its API. Every answer is checked against openapi.yaml.
type node struct {
	t       *testing.T
	url     string
	gateway *gateway.Gateway
	broker  *lossyBroker
	client  *http.Client
}

func startNode(t *testing.T, limits gateway.Limits) *node {
	return startNodeFor(t, limits, api.Config{})
}

func startNodeFor(t *testing.T, limits gateway.Limits, c api.Config) *node {
	t.Helper()
	memory := broker.NewMemory()
	lossy := &lossyBroker{Memory: memory}
	authenticator, err := auth.New(auth.Config{Keys: []auth.APIKey{{Name: "shop", Key: shopKey}, {Name: "log", Key: logKey, Scope: &gateway.Scope{Channels: []string{"log:*"}, Read: true}}}, JWT: auth.JWT{Secret: secret}})
	must(t, err)
	c.Gateway, err = gateway.New(gateway.Config{Broker: lossy, History: memory, Presence: memory, Register: memory, Auth: authenticator, Rules: channelRules, Limits: limits, Version: "v1"})
	must(t, err)

	server := httptest.NewServer(transport.Strict(described(t, api.New(c))))
	n := &node{t: t, url: server.URL, gateway: c.Gateway, broker: lossy, client: server.Client()}
	gatewaytest.Run(t, c.Gateway, func() {})
	t.Cleanup(server.Close)
	return n
}

// lossyBroker confirms nothing while it is away.
type lossyBroker struct {
	*broker.Memory
	away  atomic.Bool
	tried atomic.Int64
}

func (b *lossyBroker) Publish(m broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	if !strings.Contains(m.Channel, " ") { // messages between nodes are not counted
		b.tried.Add(1)
	}
	if b.away.Load() {
		done(broker.Position{}, broker.ErrUnavailable)
		return
	}
	b.Memory.Publish(m, o, done)
}

// call is a request.
type call struct {
	method, path, body string
	credential         string // "": anonymous
	header             http.Header
}

func (n *node) do(c call) (status int, body string, header http.Header) {
	n.t.Helper()
	if c.method != http.MethodPost {
		c.body = "" // the others have none
	}
	request, err := http.NewRequestWithContext(n.t.Context(), c.method, n.url+c.path, strings.NewReader(c.body))
	must(n.t, err)
	if c.header != nil {
		request.Header = c.header.Clone()
	}
	if c.credential != "" {
		request.Header.Set("Authorization", "Bearer "+c.credential)
	}
	response, err := n.client.Do(request)
	must(n.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	must(n.t, err)
	return response.StatusCode, string(answer), response.Header
}

// expect fails unless the answer has the status and its body contains want.
func (n *node) expect(c call, status int, want string) string {
	n.t.Helper()
	got, body, _ := n.do(c)
	if got != status || !strings.Contains(body, want) {
		n.t.Errorf("%s %s: %d %s, want %d with %q", c.method, c.path, got, body, status, want)
	}
	return body
}

// publish publishes as the shop and returns the cursor.
func (n *node) publish(channel, contentType, body string) string {
	n.t.Helper()
	c := call{method: "POST", path: "/api/channels/" + channel + "/messages", credential: shopKey, body: body, header: http.Header{}}
	if contentType != "" {
		c.header.Set("Content-Type", contentType)
	}
	var answer struct{ Cursor string }
	must(n.t, json.Unmarshal([]byte(n.expect(c, 200, "cursor")), &answer))
	return answer.Cursor
}

// history returns the messages of a channel, as JSON.
func (n *node) history(channel, query string) []string {
	n.t.Helper()
	body := n.expect(call{method: "GET", path: "/api/channels/" + channel + "/messages" + query, credential: shopKey}, 200, "messages")
	var answer struct{ Messages []map[string]any }
	must(n.t, json.Unmarshal([]byte(body), &answer))
	var messages []string
	for _, m := range answer.Messages {
		for _, varies := range []string{"cursor", "time"} {
			delete(m, varies)
		}
		text, err := json.Marshal(m)
		must(n.t, err)
		messages = append(messages, string(text))
	}
	return messages
}

func token(t *testing.T, claims auth.Claims) string {
	t.Helper()
	key, err := auth.NewSigningSecret(secret)
	must(t, err)
	signed, err := auth.Sign(claims, key, "")
	must(t, err)
	return signed
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
