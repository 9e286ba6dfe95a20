package brokertest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"tidegate/broker"
)

// fill publishes the payloads "1" to n and returns their positions.
func fill(c *cluster, channel string, n int, o broker.PublishOptions) []broker.Position {
	c.Helper()
	positions := make([]broker.Position, n)
	for i := range n {
		positions[i] = c.publish(text(channel, strconv.Itoa(i+1)), o)
	}
	return positions
}

func (c *cluster) since(channel string, after broker.Position, limit int) broker.Page {
	c.Helper()
	page, err := c.first().History.Since(c.Context(), channel, after, limit)
	if err != nil {
		c.Fatalf("Since(%q, %v): %v", channel, after, err)
	}
	return page
}

func (c *cluster) latest(channel string, limit int) broker.Page {
	c.Helper()
	page, err := c.first().History.Latest(c.Context(), channel, limit)
	if err != nil {
		c.Fatalf("Latest(%q): %v", channel, err)
	}
	return page
}

func (c *cluster) expect(what string, page broker.Page, lost string, want ...string) {
	c.Helper()
	if got := payloads(page.Messages); !slices.Equal(got, want) {
		c.Errorf("%s: messages %q, want %q", what, got, want)
	}
	if page.Lost != (lost == "lost") {
		c.Errorf("%s: Lost is %v, want %s", what, page.Lost, lost)
	}
	for i, m := range page.Messages {
		if m.Position.Epoch != page.Top.Epoch || m.Position.Offset != page.Messages[0].Position.Offset+uint64(i) {
			c.Errorf("%s: message %d at %v, top is %v", what, i, m.Position, page.Top)
		}
	}
}

func testPositionsCountUp(t *testing.T, c *cluster) {
	positions := fill(c, "a", 5, broker.PublishOptions{HistorySize: 3})
	for i, p := range positions {
		if p.Epoch != positions[0].Epoch || p.Epoch == "" || p.Offset != uint64(i+1) {
			t.Errorf("message %d is at %v", i+1, p)
		}
		if again, err := broker.ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("ParsePosition(%q) = %v, %v", p, again, err)
		}
	}
	if p := c.publish(text("b", "1"), broker.PublishOptions{}); !p.IsZero() {
		t.Errorf("position without history: %v", p)
	}
}

func testReceivedInOrderOfOffset(t *testing.T, c *cluster) {
	const messages = 600
	c.subscribe("a")
	done := make(chan struct{})
	for p := range 6 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range messages / 6 {
				_, err := broker.Publish(t.Context(), c.Nodes[p%len(c.Nodes)].Broker, text("a", "x"), broker.PublishOptions{HistorySize: 20})
				if err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		}()
	}
	for range 6 {
		<-done
	}
	for i, m := range c.heard().WaitMessages("a", messages) {
		if m.Position.Offset != uint64(i+1) {
			t.Fatalf("message %d received is at %v", i+1, m.Position)
		}
	}
}

func testSince(t *testing.T, c *cluster) {
	c.expect("of nothing", c.since("a", broker.Position{}, 0), "kept")
	p := fill(c, "a", 5, broker.PublishOptions{HistorySize: 10})
	c.expect("the beginning", c.since("a", broker.Position{}, 0), "kept", "1", "2", "3", "4", "5")
	c.expect("the beginning, limited", c.since("a", broker.Position{}, 2), "kept", "1", "2")
	c.expect("offset 0", c.since("a", broker.Position{Epoch: p[0].Epoch}, 0), "kept", "1", "2", "3", "4", "5")
	c.expect("the third", c.since("a", p[2], 0), "kept", "4", "5")
	c.expect("the third, limited", c.since("a", p[2], 1), "kept", "4")
	c.expect("the newest", c.since("a", p[4], 0), "kept")
	if top := c.since("a", p[1], 1).Top; top != p[4] {
		t.Errorf("top is %v, want %v", top, p[4])
	}
}

func testSinceLost(t *testing.T, c *cluster) {
	p := fill(c, "a", 6, broker.PublishOptions{HistorySize: 3})
	c.expect("a trimmed one", c.since("a", p[0], 0), "lost", "4", "5", "6")
	c.expect("a trimmed one, limited", c.since("a", p[0], 2), "lost", "4", "5")
	c.expect("the last trimmed", c.since("a", p[2], 0), "kept", "4", "5", "6")
	c.expect("the beginning", c.since("a", broker.Position{}, 0), "kept", "4", "5", "6")
	c.expect("another epoch", c.since("a", broker.Position{Epoch: "other", Offset: 5}, 0), "lost", "4", "5", "6")
	ahead := broker.Position{Epoch: p[0].Epoch, Offset: 7}
	c.expect("one ahead of the top", c.since("a", ahead, 0), "lost", "4", "5", "6")
}

func testLatest(t *testing.T, c *cluster) {
	if page := c.latest("a", 5); len(page.Messages) > 0 || page.Top.Epoch == "" || page.Top.Offset != 0 {
		t.Errorf("latest of nothing: %+v", page)
	}
	p := fill(c, "a", 5, broker.PublishOptions{HistorySize: 10})
	c.expect("all", c.latest("a", 0), "kept", "1", "2", "3", "4", "5")
	c.expect("more than all", c.latest("a", 50), "kept", "1", "2", "3", "4", "5")
	page := c.latest("a", 2)
	c.expect("two", page, "kept", "4", "5")
	if page.Top != p[4] || page.Messages[1].Position != p[4] {
		t.Errorf("top %v, newest message %v, want %v", page.Top, page.Messages[1].Position, p[4])
	}
}

func testTrimmedToSize(t *testing.T, c *cluster) {
	const size = 150
	fill(c, "a", 2*size, broker.PublishOptions{HistorySize: size})
	page := c.latest("a", 0)
	if n := len(page.Messages); n != size {
		t.Errorf("%d messages kept, want %d", n, size)
	}
	c.publish(text("a", "smaller"), broker.PublishOptions{HistorySize: 2})
	c.expect("smaller", c.latest("a", 0), "kept", fmt.Sprint(2*size), "smaller")
}

func testExpires(t *testing.T, c *cluster) {
	o := broker.PublishOptions{HistorySize: 10, HistoryTTL: 300 * time.Millisecond}
	p := fill(c, "a", 2, o)
	Eventually(t, "the messages to expire", func() bool { return len(c.latest("a", 0).Messages) == 0 })
	c.expect("the newest", c.since("a", p[1], 0), "kept")
	c.expect("the first", c.since("a", p[0], 0), "lost")
	third := c.publish(text("a", "3"), o)
	if want := (broker.Position{Epoch: p[1].Epoch, Offset: 3}); third != want {
		t.Errorf("the next message is at %v, want %v", third, want)
	}

	// A message that expired under younger ones is gone as well.
	o.HistorySize = 1_000_000
	fill(c, "b", 1, o)
	Eventually(t, "the first to expire under younger ones", func() bool {
		c.publish(text("b", "younger"), o)
		messages := c.latest("b", 0).Messages
		return len(messages) > 0 && string(messages[0].Payload) == "younger"
	})
}

func testTops(t *testing.T, c *cluster) {
	channels := []string{"none"}
	want := make(map[string]broker.Position)
	for i := range 300 {
		channel := fmt.Sprintf("tops:%d", i)
		channels = append(channels, channel)
		positions := fill(c, channel, i%3+1, broker.PublishOptions{HistorySize: 2})
		want[channel] = positions[i%3]
	}
	tops, err := c.first().History.Tops(t.Context(), channels)
	if err != nil || len(tops) != len(channels) {
		t.Fatalf("Tops: %d positions, %v", len(tops), err)
	}
	for i, channel := range channels[1:] {
		if tops[i+1].Position != want[channel] {
			t.Errorf("top of %q is %v, want %v", channel, tops[i+1], want[channel])
		}
	}
	if tops[0].Epoch == "" || tops[0].Offset != 0 {
		t.Errorf("top of a channel that has none yet: %v", tops[0])
	}
	first := c.publish(text("none", "1"), broker.PublishOptions{HistorySize: 2})
	if want := (broker.Position{Epoch: tops[0].Epoch, Offset: 1}); first != want {
		t.Errorf("its first message is at %v, want %v", first, want)
	}
	if none, err := c.first().History.Tops(t.Context(), nil); len(none) != 0 || err != nil {
		t.Errorf("Tops of nothing: %v, %v", none, err)
	}
}

func testClear(t *testing.T, c *cluster) {
	p := fill(c, "a", 3, broker.PublishOptions{HistorySize: 10})
	if err := c.last().History.Clear(t.Context(), "a"); err != nil {
		t.Fatalf("Clear: %v", err)
	}
	c.expect("cleared", c.latest("a", 0), "kept")
	c.expect("since the newest", c.since("a", p[2], 0), "kept")
	c.expect("since the first", c.since("a", p[0], 0), "lost")
	fourth := c.publish(text("a", "4"), broker.PublishOptions{HistorySize: 10})
	if want := (broker.Position{Epoch: p[0].Epoch, Offset: 4}); fourth != want {
		t.Errorf("the next message is at %v, want %v", fourth, want)
	}
	c.expect("since the newest before", c.since("a", p[2], 0), "kept", "4")
	if err := c.first().History.Clear(t.Context(), "nothing"); err != nil {
		t.Errorf("Clear of nothing: %v", err)
	}
}
