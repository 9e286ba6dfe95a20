package brokertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
)

var all = broker.Most{}

// fill publishes the payloads "1" to n and returns their positions.
func fill(c *cluster, channel string, n int, o broker.PublishOptions) []broker.Position {
	c.Helper()
	positions := make([]broker.Position, n)
	for i := range n {
		positions[i] = c.publish(text(channel, strconv.Itoa(i+1)), o)
	}
	return positions
}

func (c *cluster) since(channel string, after broker.Position, most broker.Most) broker.Page {
	c.Helper()
	page, err := c.first().History.Since(c.Context(), channel, after, most)
	if err != nil {
		c.Fatalf("Since(%q, %v): %v", channel, after, err)
	}
	return page
}

func (c *cluster) latest(channel string, most broker.Most) broker.Page {
	c.Helper()
	page, err := c.first().History.Latest(c.Context(), channel, most)
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
	c.expect("of nothing", c.since("a", broker.Position{}, all), "kept")
	p := fill(c, "a", 5, broker.PublishOptions{HistorySize: 10})
	c.expect("the beginning", c.since("a", broker.Position{}, all), "kept", "1", "2", "3", "4", "5")
	c.expect("the beginning, limited", c.since("a", broker.Position{}, broker.Most{Messages: 2}), "kept", "1", "2")
	c.expect("offset 0", c.since("a", broker.Position{Epoch: p[0].Epoch}, all), "kept", "1", "2", "3", "4", "5")
	c.expect("the third", c.since("a", p[2], all), "kept", "4", "5")
	c.expect("the third, limited", c.since("a", p[2], broker.Most{Messages: 1}), "kept", "4")
	c.expect("the newest", c.since("a", p[4], all), "kept")
	if top := c.since("a", p[1], broker.Most{Messages: 1}).Top; top != p[4] {
		t.Errorf("top is %v, want %v", top, p[4])
	}
}

func testSinceLost(t *testing.T, c *cluster) {
	p := fill(c, "a", 6, broker.PublishOptions{HistorySize: 3})
	c.expect("a trimmed one", c.since("a", p[0], all), "lost", "4", "5", "6")
	c.expect("a trimmed one, limited", c.since("a", p[0], broker.Most{Messages: 2}), "lost", "4", "5")
	c.expect("the last trimmed", c.since("a", p[2], all), "kept", "4", "5", "6")
	c.expect("the beginning", c.since("a", broker.Position{}, all), "kept", "4", "5", "6")
	c.expect("another epoch", c.since("a", broker.Position{Epoch: "other", Offset: 5}, all), "lost", "4", "5", "6")
	ahead := broker.Position{Epoch: p[0].Epoch, Offset: 7}
	c.expect("one ahead of the top", c.since("a", ahead, all), "lost", "4", "5", "6")
}

func testLatest(t *testing.T, c *cluster) {
	if page := c.latest("a", broker.Most{Messages: 5}); len(page.Messages) > 0 || page.Top.Epoch == "" || page.Top.Offset != 0 {
		t.Errorf("latest of nothing: %+v", page)
	}
	p := fill(c, "a", 5, broker.PublishOptions{HistorySize: 10})
	c.expect("all", c.latest("a", all), "kept", "1", "2", "3", "4", "5")
	c.expect("more than all", c.latest("a", broker.Most{Messages: 50}), "kept", "1", "2", "3", "4", "5")
	page := c.latest("a", broker.Most{Messages: 2})
	c.expect("two", page, "kept", "4", "5")
	if page.Top != p[4] || page.Messages[1].Position != p[4] {
		t.Errorf("top %v, newest message %v, want %v", page.Top, page.Messages[1].Position, p[4])
	}
}

// A page is limited in bytes, too, from whichever end it is read, and has at least one
// message.
func testPageOfBytes(t *testing.T, c *cluster) {
	for n := range 50 {
		size := 1000
		if n >= 40 {
			size = 200_000
		}
		c.publish(text("a", strings.Repeat(string(rune('A'+n)), size)), broker.PublishOptions{HistorySize: 100})
	}
	count := func(page broker.Page) (n, bytes int) {
		for _, m := range page.Messages {
			bytes += len(m.Payload)
		}
		return len(page.Messages), bytes
	}
	for _, most := range []int{30_000, 300_000, 1_000_000, 10_000_000} {
		n, bytes := count(c.since("a", broker.Position{}, broker.Most{Bytes: most}))
		if bytes > most || n < 50 && bytes < most/2-200_000 {
			t.Errorf("the first %d bytes: %d messages of %d bytes", most, n, bytes)
		}
		if n, bytes := count(c.latest("a", broker.Most{Bytes: most})); bytes > most && n > 1 || n == 0 {
			t.Errorf("the last %d bytes: %d messages of %d bytes", most, n, bytes)
		}
	}
	if n, _ := count(c.latest("a", broker.Most{Bytes: 1})); n != 1 {
		t.Errorf("of a page of one byte: %d messages", n)
	}
	if n, _ := count(c.since("a", broker.Position{}, broker.Most{Bytes: 30_000, Messages: 7})); n != 7 {
		t.Errorf("of a page of 7: %d messages", n)
	}
	var offsets uint64
	for at := (broker.Position{}); ; {
		page := c.since("a", at, broker.Most{Bytes: 30_000})
		if len(page.Messages) == 0 {
			break
		}
		at = page.Messages[len(page.Messages)-1].Position
		if offsets += uint64(len(page.Messages)); at.Offset != offsets {
			t.Fatalf("page by page %d messages were read up to %v", offsets, at)
		}
	}
	if offsets != 50 {
		t.Errorf("page by page %d messages were read", offsets)
	}
}

func testTrimmedToSize(t *testing.T, c *cluster) {
	const size = 150
	fill(c, "a", 2*size, broker.PublishOptions{HistorySize: size})
	page := c.latest("a", all)
	if n := len(page.Messages); n != size {
		t.Errorf("%d messages kept, want %d", n, size)
	}
	c.publish(text("a", "smaller"), broker.PublishOptions{HistorySize: 2})
	c.expect("smaller", c.latest("a", all), "kept", fmt.Sprint(2*size), "smaller")
}

func testExpires(t *testing.T, c *cluster) {
	o := broker.PublishOptions{HistorySize: 10, HistoryTTL: 300 * time.Millisecond}
	p := fill(c, "a", 2, o)
	Eventually(t, "the messages to expire", func() bool { return len(c.latest("a", all).Messages) == 0 })
	c.expect("the newest", c.since("a", p[1], all), "kept")
	c.expect("the first", c.since("a", p[0], all), "lost")
	third := c.publish(text("a", "3"), o)
	if want := (broker.Position{Epoch: p[1].Epoch, Offset: 3}); third != want {
		t.Errorf("the next message is at %v, want %v", third, want)
	}

	// A message that has expired is gone even if newer ones follow it.
	o.HistorySize = 1_000_000
	fill(c, "b", 1, o)
	Eventually(t, "the first to expire under younger ones", func() bool {
		c.publish(text("b", "younger"), o)
		messages := c.latest("b", all).Messages
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
	if !tops[0].Unborn() || !tops[0].Former.IsZero() {
		t.Errorf("top of a channel that has none yet: %v", tops[0])
	}
	if none, err := c.first().History.Tops(t.Context(), nil); len(none) != 0 || err != nil {
		t.Errorf("Tops of nothing: %v, %v", none, err)
	}
}

// A cursor from before the first message stays valid, and differs from a cursor into a
// history that was lost.
func testNothing(t *testing.T, c *cluster) {
	nothing := c.since("a", broker.Position{}, all).Top
	if !nothing.Unborn() {
		t.Fatalf("top of a channel without a message: %v", nothing)
	}
	if tops, err := c.last().History.Tops(t.Context(), []string{"a"}); err != nil || !tops[0].Agrees(nothing) {
		t.Errorf("another node says %v, %v, which does not agree with %v", tops, err, nothing)
	}
	if again, err := broker.ParsePosition(nothing.String()); err != nil || again != nothing {
		t.Errorf("ParsePosition(%q) = %v, %v", nothing, again, err)
	}
	c.expect("nothing yet", c.since("a", nothing, all), "kept")
	c.expect("what was lost", c.since("a", broker.Position{Epoch: "gone", Offset: 3}, all), "lost")
	c.expect("what was lost before its first message", c.since("a", broker.Position{Epoch: nothing.Epoch + "0"}, all), "lost")

	o := broker.PublishOptions{HistorySize: 3}
	p := fill(c, "a", 3, o)
	if p[0].Unborn() || p[0].Epoch == nothing.Epoch || p[0].Offset != 1 {
		t.Errorf("the first message is at %v", p[0])
	}
	page := c.since("a", nothing, all)
	c.expect("since nothing", page, "kept", "1", "2", "3")
	if !page.Former.Agrees(nothing) {
		t.Errorf("former position %v does not agree with %v", page.Former, nothing)
	}
	if tops, err := c.first().History.Tops(t.Context(), []string{"a"}); err != nil || !tops[0].Former.Agrees(nothing) {
		t.Errorf("Tops: %v, %v", tops, err)
	}
	c.publish(text("a", "4"), o)
	c.expect("since nothing, trimmed", c.since("a", nothing, all), "lost", "2", "3", "4")
	c.expect("since nothing, trimmed, limited", c.since("a", nothing, broker.Most{Messages: 1}), "lost", "2")
	if err := c.first().History.Clear(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	c.expect("since nothing, cleared", c.since("a", nothing, all), "lost")
}

func testClear(t *testing.T, c *cluster) {
	p := fill(c, "a", 3, broker.PublishOptions{HistorySize: 10})
	if err := c.last().History.Clear(t.Context(), "a"); err != nil {
		t.Fatalf("Clear: %v", err)
	}
	c.expect("cleared", c.latest("a", all), "kept")
	c.expect("since the newest", c.since("a", p[2], all), "kept")
	c.expect("since the first", c.since("a", p[0], all), "lost")
	fourth := c.publish(text("a", "4"), broker.PublishOptions{HistorySize: 10})
	if want := (broker.Position{Epoch: p[0].Epoch, Offset: 4}); fourth != want {
		t.Errorf("the next message is at %v, want %v", fourth, want)
	}
	c.expect("since the newest before", c.since("a", p[2], all), "kept", "4")
	if err := c.first().History.Clear(t.Context(), "nothing"); err != nil {
		t.Errorf("Clear of nothing: %v", err)
	}
}
