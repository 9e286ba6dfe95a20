package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"

	"github.com/redis/go-redis/v9"
)

const (
	everyRoom  = "private-room"
	everyRules = pusherApp + `
channels: [{match: "*", subscribe: anyone, publish: anyone, history: {size: 100, ttl: 10m}}]
auth: {api_keys: [{name: shop, key: ` + backendKey + `}]}
limits: {commands_per_second: 0}
`
	everySession = 8 // on the channel, including the long-poll, and the publishers through raw and Pusher, which are on it, too
)

// oneChannel is two nodes on one Redis.
type oneChannel struct {
	t               *testing.T
	ctx             context.Context
	speaks, listens *process
	redis           *redis.Client
	polling         sync.WaitGroup
	polls           chan string // the answer to the poll under way
	polled, looked  string      // cursors of the long-poll and the history
}

func newOneChannel(t *testing.T) *oneChannel {
	t.Helper()
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	node := func() *process {
		return startReady(t, []string{"TIDEGATE_REDIS_URL=" + server.URL()}, "--config", write(t, "tidegate.yaml", everyRules))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	c := &oneChannel{t: t, ctx: ctx, speaks: node(), listens: node(), redis: redis.NewClient(&redis.Options{Addr: server.Addr}), polls: make(chan string, 1)}
	t.Cleanup(func() { cancel(); c.polling.Wait(); c.redis.Close() })
	return c
}

func (c *oneChannel) speakers() []speaker {
	object := utterance{broker.JSON, `{"text":"hi"}`, ""}
	text := utterance{broker.Text, "hi", ""}
	binary := utterance{broker.Binary, "\xff\x00", ""}
	named := func(event string, list ...utterance) (all []utterance) {
		for _, m := range list {
			m.event = event
			all = append(all, m)
		}
		return all
	}
	everything := named("said", object, text, binary)
	return []speaker{
		{"native", everything, c.sayNative()},
		{"SSE", everything, c.post("")},
		{"long-poll", everything, c.post("")},
		{"HTTP", everything, c.post(backendKey)},
		{"Pusher backend", named("said", object, text), c.sayPusherBackend},
		{"Pusher", named("client-said", object, text), c.sayPusher()},
		{"Centrifuge", []utterance{object, {broker.JSON, `"hi"`, ""}}, c.sayCentrifuge()},
		{"raw", []utterance{{broker.Text, object.payload, ""}, text, binary}, c.sayRaw()},
		{"redis-cli", []utterance{object, text, binary}, c.sayRedis},
	}
}

func (c *oneChannel) hearers() []hearer {
	return []hearer{
		{"native", c.hearNative(), wantObject},
		{"long-poll", c.hearPoll(), wantObject},
		{"HTTP", c.hearHistory, wantObject},
		{"raw", c.hearRaw(), wantFrame},
		{"Pusher", c.hearPusher(), wantPusher},
		{"Centrifuge", c.hearCentrifuge(), wantCentrifuge},
		{"SSE", c.hearEvents(), wantEvent},
		{"redis-cli", c.hearRedis(), wantInRedis},
	}
}

func next(c *oneChannel, line <-chan string) string {
	c.t.Helper()
	select {
	case one, open := <-line:
		if open {
			return one
		}
	case <-c.ctx.Done():
	}
	c.t.Fatal("nothing more is heard")
	return ""
}

// objectOf parses a JSON object.
func (c *oneChannel) objectOf(text string) (object map[string]any) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		c.t.Fatalf("%q: %v", text, err)
	}
	return object
}

// native returns an object of the native protocol without the fields that vary.
func (c *oneChannel) native(object map[string]any) string {
	return inOrder(object, "type", "cursor", "time")
}

// post returns a function that publishes through the HTTP API.
func (c *oneChannel) post(key string) func(utterance) {
	return func(m utterance) {
		c.t.Helper()
		media := map[broker.Kind]string{broker.JSON: "application/json", broker.Text: "text/plain", broker.Binary: "application/octet-stream"}[m.kind]
		c.request(http.MethodPost, c.speaks.public("/api/channels/"+everyRoom+"/messages?event="+m.event), media, key, m.payload)
	}
}

// request returns the body of the answer, which must have status 200.
func (c *oneChannel) request(method, url, media, key, body string) (answer string) {
	c.t.Helper()
	response := c.open(method, url, media, key, body)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %s %s %v", method, url, response.Status, content, err)
	}
	return string(content)
}

func (c *oneChannel) open(method, url, media, key, body string) *http.Response {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.ctx, method, url, strings.NewReader(body))
	must(c.t, err)
	request.Close = true
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	must(c.t, err)
	return response
}

func (c *oneChannel) hearEvents() func() string {
	response := c.open(http.MethodGet, c.listens.public("/events?channel="+everyRoom), "", "", "")
	events, reading := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(reading)
		var event strings.Builder
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			switch name, _, _ := strings.Cut(lines.Text(), ":"); {
			case name == "event" || name == "data":
				event.WriteString(lines.Text() + "\n")
			case name == "" && event.Len() > 0:
				events <- event.String()
				event.Reset()
			}
		}
	}()
	c.t.Cleanup(func() { response.Body.Close(); <-reading })
	return func() string { return next(c, events) }
}

// ask starts a poll and returns once the node is holding it. Otherwise the poll could miss a
// message that is in no history.
func (c *oneChannel) ask() {
	c.t.Helper()
	c.awaitSessions(everySession - 1)
	address := c.listens.public("/poll?channel=" + everyRoom + "&wait=60s&cursor=" + url.QueryEscape(c.polled))
	c.polling.Go(func() {
		_, body, err := tryGet(c.ctx, address)
		if err != nil {
			body = err.Error()
		}
		c.polls <- body
	})
	c.awaitSessions(everySession)
}

// awaitSessions blocks until that many sessions are on the channel.
func (c *oneChannel) awaitSessions(number int) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.sessions() != number {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatalf("there are never %d sessions on the channel", number)
		}
	}
}

// sessions returns how many sessions are on the channel, or 0 if a node did not answer in time.
func (c *oneChannel) sessions() int {
	c.t.Helper()
	response := c.open(http.MethodGet, c.listens.public("/api/channels?match="+everyRoom), "", backendKey, "")
	defer response.Body.Close()
	var answer struct{ Channels []struct{ Sessions int } }
	if json.NewDecoder(response.Body).Decode(&answer) != nil || len(answer.Channels) != 1 {
		return 0
	}
	return answer.Channels[0].Sessions
}

// page is an answer with messages.
type page struct {
	Messages []map[string]any
	Cursor   string
	Gaps     []string
}

func (c *oneChannel) pageOf(answer string) (p page) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(answer), &p); err != nil || len(p.Messages) > 1 || len(p.Gaps) > 0 {
		c.t.Fatalf("%v in %s", err, answer)
	}
	return p
}

func (p page) only(c *oneChannel) string {
	if len(p.Messages) == 0 {
		return ""
	}
	return c.native(p.Messages[0])
}

func (c *oneChannel) hearPoll() func() string {
	c.polled = c.pageOf(c.request(http.MethodGet, c.listens.public("/poll?channel="+everyRoom), "", "", "")).Cursor
	c.looked = c.polled
	return func() string {
		p := c.pageOf(next(c, c.polls))
		c.polled = p.Cursor
		return p.only(c)
	}
}

// hearHistory reads the history after others have received the message.
func (c *oneChannel) hearHistory() string {
	p := c.pageOf(c.request(http.MethodGet, c.listens.public("/api/channels/"+everyRoom+"/messages?cursor="+url.QueryEscape(c.looked)), "", backendKey, ""))
	c.looked = p.Cursor
	return p.only(c)
}

func (c *oneChannel) sayRedis(m utterance) {
	c.t.Helper()
	must(c.t, c.redis.Publish(c.ctx, "tidegate:"+everyRoom, m.payload).Err())
}

func (c *oneChannel) hearRedis() func() string {
	subscription := c.redis.Subscribe(c.ctx, "tidegate:"+everyRoom)
	c.t.Cleanup(func() { subscription.Close() })
	if _, err := subscription.Receive(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	return func() string {
		message, err := subscription.ReceiveMessage(c.ctx)
		must(c.t, err)
		line, payload, enveloped := bytes.Cut([]byte(message.Payload), []byte("\n"))
		if !enveloped {
			return message.Payload
		}
		header := c.objectOf(strings.TrimPrefix(string(line), "TG1 "))
		return "TG1 " + inOrder(header, "mark", "time", "epoch", "offset", "session") + "\n" + string(payload)
	}
}
