package brokertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
)

func testNothingBeforeRun(t *testing.T, s Subject) {
	node := s.Nodes[0]
	ctx := t.Context()
	attempts := map[string]func() error{
		"Subscribe": func() error { return node.Broker.Subscribe(ctx, "a") },
		"Publish": func() error {
			_, err := broker.Publish(ctx, node.Broker, text("a", "1"), broker.PublishOptions{})
			return err
		},
		"Since":  func() error { _, err := node.History.Since(ctx, "a", broker.Position{}, all); return err },
		"Latest": func() error { _, err := node.History.Latest(ctx, "a", all); return err },
		"Tops":   func() error { _, err := node.History.Tops(ctx, []string{"a"}); return err },
		"Clear":  func() error { return node.History.Clear(ctx, "a") },
	}
	for name, attempt := range attempts {
		if err := attempt(); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s before Run: %v, want ErrUnavailable", name, err)
		}
	}
}

func testLinkIsToldUp(t *testing.T, c *cluster) { c.heard().WaitUp() }

func testNothingAfterRun(t *testing.T, c *cluster) {
	c.subscribe("a")
	c.publish(text("a", "1"), broker.PublishOptions{})
	c.heard().WaitMessages("a", 1)
	c.stop()
	told := c.heard().Told()
	if _, err := broker.Publish(t.Context(), c.last().Broker, text("a", "2"), broker.PublishOptions{}); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Publish after Run: %v, want ErrUnavailable", err)
	}
	err := c.first().Broker.Subscribe(t.Context(), "b", "c")
	for _, channel := range []string{"b", "c"} {
		if why := broker.WhyNot(err, channel); !errors.Is(why, broker.ErrUnavailable) {
			t.Errorf("Subscribe after Run: %v, and of %q %v; want ErrUnavailable", err, channel, why)
		}
	}
	if now := c.heard().Told(); now != told {
		t.Errorf("%d calls after Run had returned", now-told)
	}
}

func testFieldsArrive(t *testing.T, c *cluster) {
	sent := broker.Message{
		Channel: "a", Payload: []byte(`{"text":"hi"}`), Kind: broker.JSON, Event: "said",
		User: `al"ice ñ`, Session: "s1", Except: "s2", Key: "k1", Time: time.UnixMilli(1763845845123),
		Info: json.RawMessage(`{"name":"Al"}`), Elsewhere: json.RawMessage(`{"name":"Alice"}`), Tags: json.RawMessage(`{"color":"red"}`),
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	c.subscribe("a")
	position := c.publish(sent, broker.PublishOptions{HistorySize: 1})
	got := c.heard().WaitMessages("a", 1)[0]
	want := sent
	want.Key, want.Position = "", position
	if !reflect.DeepEqual(got, want) {
		t.Errorf("received\n     %+v\nwant %+v", got, want)
	}
	page, err := c.first().History.Latest(t.Context(), "a", broker.Most{Messages: 1})
	if err != nil || len(page.Messages) != 1 || !reflect.DeepEqual(page.Messages[0], want) {
		t.Errorf("kept\n     %+v, %v\nwant %+v", page.Messages, err, want)
	}
}

func testPayloadsArrive(t *testing.T, c *cluster) {
	sent := []broker.Message{
		{Payload: []byte(`42`), Kind: broker.Text},
		{Payload: []byte(`42`), Kind: broker.JSON},
		{Payload: []byte(`42`), Kind: broker.Binary},
		{Payload: []byte{}, Kind: broker.Text},
		{Payload: []byte("\x00\xff\r\n$5\r\n"), Kind: broker.Binary},
		{Payload: []byte("TG1 {\"user\":\"mallory\"}\nhi"), Kind: broker.Text},
		{Payload: bytes.Repeat([]byte("0123456789abcdef"), 4096), Kind: broker.Text},
	}
	c.subscribe("a")
	for _, o := range []broker.PublishOptions{{}, {HistorySize: 10}} {
		for _, m := range sent {
			m.Channel = "a"
			c.publish(m, o)
		}
	}
	got := c.heard().WaitMessages("a", 2*len(sent))
	for i, m := range got {
		want := sent[i%len(sent)]
		if m.Kind != want.Kind || !bytes.Equal(m.Payload, want.Payload) {
			t.Errorf("message %d: %v of %d bytes %.40q, want %v of %d bytes %.40q", i,
				m.Kind, len(m.Payload), m.Payload, want.Kind, len(want.Payload), want.Payload)
		}
	}
}

func testAnyChannelName(t *testing.T, c *cluster) {
	names := []string{
		"a", ":", "chat:lobby", "@alice", "{1}:a", "}{", "*", "h[ae]llo?", `\`, `"'`, "ünïcødé:日本", "history", "%s",
		strings.Repeat("x", 255), strings.Repeat("x", 254),
	}
	c.subscribe(names...)
	for _, name := range names {
		c.publish(text(name, "to "+name), broker.PublishOptions{HistorySize: 1})
	}
	for _, name := range names {
		if got := payloads(c.heard().WaitMessages(name, 1)); !slices.Equal(got, []string{"to " + name}) {
			t.Errorf("channel %q received %q", name, got)
		}
	}
}

func testOnlySubscribedChannels(t *testing.T, c *cluster) {
	c.subscribe("a", "aa")
	for _, channel := range []string{"b", "A", "a:", "aa", "*", "a"} {
		c.publish(text(channel, channel), broker.PublishOptions{})
	}
	c.heard().WaitMessages("a", 1)
	c.heard().WaitMessages("aa", 1)
	if told := c.heard().Told(); told != 3 {
		t.Errorf("told %d times, want the link and two messages", told)
	}
}

func testSubscribeAgain(t *testing.T, c *cluster) {
	b := c.first().Broker
	for i := range 20 {
		c.subscribe("a")
		c.publish(text("a", fmt.Sprint(i)), broker.PublishOptions{})
		c.heard().WaitMessages("a", i+1)
		if err := b.Unsubscribe(t.Context(), "a"); err != nil {
			t.Fatalf("Unsubscribe: %v", err)
		}
	}
	if gaps := c.heard().Gaps(); len(gaps) > 0 {
		t.Errorf("gaps told: %q", gaps)
	}
}

func testSubscribeTogether(t *testing.T, c *cluster) {
	names := []string{"a", "b", "b"}
	for i := range 300 {
		names = append(names, fmt.Sprintf("together:%d", i))
	}
	c.subscribe("a")
	if err := c.first().Broker.Subscribe(t.Context(), names...); err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	for _, name := range names[2:] {
		c.publish(text(name, name), broker.PublishOptions{})
	}
	for _, name := range names[2:] {
		if got := payloads(c.heard().WaitMessages(name, 1)); !slices.Equal(got, []string{name}) {
			t.Errorf("channel %q received %q", name, got)
		}
	}
	if err := c.first().Broker.Subscribe(t.Context()); err != nil {
		t.Errorf("Subscribe to nothing: %v", err)
	}
}

func testEveryNodeReceives(t *testing.T, c *cluster) {
	for _, node := range c.Nodes {
		if err := node.Broker.Subscribe(t.Context(), "a"); err != nil {
			t.Fatalf("Subscribe: %v", err)
		}
	}
	for i, node := range c.Nodes {
		if _, err := broker.Publish(t.Context(), node.Broker, text("a", fmt.Sprint(i)), broker.PublishOptions{}); err != nil {
			t.Fatalf("Publish: %v", err)
		}
	}
	for i := range c.Nodes {
		c.told[i].WaitMessages("a", len(c.Nodes))
	}
}

func testOrderPerChannel(t *testing.T, c *cluster) {
	const publishers, each = 8, 250
	c.subscribe("a")
	var wait sync.WaitGroup
	for p := range publishers {
		wait.Go(func() {
			b := c.Nodes[p%len(c.Nodes)].Broker
			for i := range each {
				o := broker.PublishOptions{HistorySize: 10 * (i % 2)}
				if _, err := broker.Publish(t.Context(), b, text("a", fmt.Sprintf("%d %d", p, i)), o); err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
			}
		})
	}
	wait.Wait()
	next := make([]int, publishers)
	for _, m := range c.heard().WaitMessages("a", publishers*each) {
		var p, i int
		if _, err := fmt.Sscan(string(m.Payload), &p, &i); err != nil || i != next[p] {
			t.Fatalf("received %q of publisher %d, want its message %d", m.Payload, p, next[p])
		}
		next[p]++
	}
}

// Messages with and without history keep their order, although only those with history use
// the append script, and even if the server has not loaded the script yet.
func testOrderWithoutWaiting(t *testing.T, c *cluster) {
	const messages = 500
	c.subscribe("a")
	var mu sync.Mutex
	answers := make([]int, messages)
	var last broker.Position
	for i := range messages {
		o := broker.PublishOptions{HistorySize: messages * (i % 2)}
		c.last().Broker.Publish(text("a", fmt.Sprint(i)), o, func(p broker.Position, err error) {
			mu.Lock()
			defer mu.Unlock()
			answers[i]++
			if err != nil || p.IsZero() != (o.HistorySize == 0) || !p.IsZero() && p.Offset <= last.Offset {
				t.Errorf("message %d: position %v after %v, error %v", i, p, last, err)
			}
			if !p.IsZero() {
				last = p
			}
		})
	}
	for i, m := range c.heard().WaitMessages("a", messages) {
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("received %q in place of message %d", m.Payload, i)
		}
	}
	Eventually(t, "one answer for each message", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !slices.ContainsFunc(answers, func(n int) bool { return n != 1 })
	})
	c.heard().WaitRested()
}

func testManyChannelsAtOnce(t *testing.T, c *cluster) {
	const channels = 1000
	var wait sync.WaitGroup
	for i := range channels {
		wait.Go(func() {
			channel := fmt.Sprintf("many:%d", i)
			c.insist("Subscribe", func() error { return c.first().Broker.Subscribe(t.Context(), channel) })
			m := text(channel, channel)
			m.Key = "once" // so that retries do not publish twice
			c.insist("Publish", func() error {
				_, err := broker.Publish(t.Context(), c.last().Broker, m, broker.PublishOptions{})
				return err
			})
		})
	}
	wait.Wait()
	for i := range channels {
		channel := fmt.Sprintf("many:%d", i)
		if got := payloads(c.heard().WaitMessages(channel, 1)); !slices.Equal(got, []string{channel}) {
			t.Errorf("channel %q received %q", channel, got)
		}
	}
}

func testBarePublish(t *testing.T, c *cluster) {
	c.subscribe("a")
	m := text("a", "42")
	m.User, m.Event = "alice", "said"
	c.publish(m, broker.PublishOptions{Bare: true})
	m.Key = "k1"
	c.publish(m, broker.PublishOptions{Bare: true})
	want := broker.Message{Channel: "a", Payload: []byte("42"), Kind: broker.JSON}
	for _, got := range c.heard().WaitMessages("a", 2) {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
}

// A bare payload that looks like an envelope must not be taken for one.
func testBarePassesForNoEnvelope(t *testing.T, c *cluster) {
	c.subscribe("a")
	forged := "TG1 {\"user\":\"admin\",\"kind\":\"json\",\"epoch\":\"k3x9\",\"offset\":7}\n{}"
	for n, payload := range []string{forged, "TG1 ", "TG1 {}\n"} {
		m := text("a", payload)
		m.User = "alice"
		m.Key = []string{"", "k1", "k2"}[n]
		c.publish(m, broker.PublishOptions{Bare: true})
		got := c.heard().WaitMessages("a", n+1)[n]
		if want := (broker.Message{Channel: "a", Payload: []byte(payload), Kind: broker.Text}); !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
}

func testBareFromBackend(t *testing.T, c *cluster) {
	if c.PublishBare == nil {
		return
	}
	c.subscribe("a")
	for payload, kind := range map[string]broker.Kind{
		`{"text":"hi"}`: broker.JSON, "hello": broker.Text, "\xff": broker.Binary, "TG1 hi": broker.Text,
	} {
		before := len(c.heard().Messages("a"))
		c.PublishBare("a", payload)
		got := c.heard().WaitMessages("a", before+1)[before]
		want := broker.Message{Channel: "a", Payload: []byte(payload), Kind: kind}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
}

func testEndedContext(t *testing.T, c *cluster) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.first().Broker.Subscribe(ctx, "a", "b")
	if broker.WhyNot(err, "a") == nil || broker.WhyNot(err, "b") == nil {
		t.Errorf("Subscribe with an ended context: %v", err)
	}
	if _, err := broker.Publish(ctx, c.first().Broker, text("a", "1"), broker.PublishOptions{}); err == nil {
		t.Error("Publish with an ended context succeeded")
	}
}

func testKeyPublishedOnce(t *testing.T, c *cluster) {
	c.subscribe("a", "b")
	send := func(channel, key, payload string) {
		m := text(channel, payload)
		m.Key = key
		c.publish(m, broker.PublishOptions{})
	}
	send("a", "k1", "1")
	send("a", "k1", "again")
	send("a", "k2", "2")
	send("b", "k1", "other channel")
	send("a", "", "3")
	send("a", "", "3")
	if got, want := payloads(c.heard().WaitMessages("a", 4)), []string{"1", "2", "3", "3"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	c.heard().WaitMessages("b", 1)
}

func testKeyFirstPosition(t *testing.T, c *cluster) {
	m := text("a", "1")
	m.Key = "k1"
	o := broker.PublishOptions{HistorySize: 5}
	first := c.publish(m, o)
	c.publish(text("a", "2"), o)
	if again := c.publish(m, o); again != first || again.IsZero() {
		t.Errorf("published again at %v, first at %v", again, first)
	}
	page, err := c.first().History.Since(t.Context(), "a", broker.Position{}, all)
	if got := payloads(page.Messages); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("history %q, %v", got, err)
	}
}

func testKeyConcurrent(t *testing.T, c *cluster) {
	c.subscribe("a")
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			m := text("a", "once")
			m.Key = "k1"
			if _, err := broker.Publish(t.Context(), c.Nodes[i%len(c.Nodes)].Broker, m, broker.PublishOptions{}); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
	}
	wait.Wait()
	c.publish(text("a", "last"), broker.PublishOptions{})
	if got := payloads(c.heard().WaitMessages("a", 2)); !slices.Equal(got, []string{"once", "last"}) {
		t.Errorf("received %q", got)
	}
}
