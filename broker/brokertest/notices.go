package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
)

// take takes what waits in a line, and removes it.
func (c *cluster) take(line string) (taken []string) {
	c.Helper()
	t := broker.Teller{Line: line, Node: "teller", Lease: long, Most: 1000}
	for more := true; more; {
		c.insist("Take", func() error {
			got, err := c.last().Presence.Take(c.Context(), t)
			if err != nil {
				return err
			}
			t.Delivered = nil
			for _, n := range got.Notices {
				taken, t.Delivered = append(taken, textOf(&n)), append(t.Delivered, n.ID)
			}
			more = len(got.Notices) > 0
			return nil
		})
	}
	return taken
}

func textOf(n *broker.Notice) string {
	text := fmt.Sprintf("%s %s %s%s %d", n.Event, n.Channel, n.User, n.Session, n.Sessions)
	if m := n.Message; m != nil {
		text += fmt.Sprintf(" %s: %v %s by %s", m.Event, m.Kind, m.Payload, m.User)
	}
	return text
}

func testNoticesStandInTheirLines(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	ofShop := func(channel string) bool { return strings.HasPrefix(channel, "shop:") }
	node.by.Wants = []broker.Wants{{Members: true}, {Line: "shop", Of: ofShop, Channels: true, Counts: true}}
	node.has("shop:a", "alice", 1)
	node.has("other", "bob", 2)
	node.has("shop:a", "alice", 3)
	node.has("shop:a", "alice", 0)
	for line, want := range map[string][]string{
		"":     {"joined shop:a alice 1", "joined other bob 2", "left shop:a alice 0"},
		"shop": {"occupied shop:a  1", "counted shop:a  1", "counted shop:a  3", "counted shop:a  0", "vacated shop:a  0"},
		"none": nil,
	} {
		got := c.take(line)
		slices.Sort(got) // of different channels they may stand in any order
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("in the line %q: %q, want %q", line, got, want)
		}
	}
}

func testNoticesOfADeadNodeCount(t *testing.T, c *cluster) {
	dying, last := c.attendant("dying", short, 0), c.attendant("last", long, 0)
	dying.by.Wants = []broker.Wants{{Counts: true}}
	last.by.Wants = dying.by.Wants
	last.has("a", "bob", 2)
	dying.has("a", "alice", 1)
	var got []string
	Eventually(t, "the dead node to be counted no more", func() bool {
		last.keeps("a")
		got = append(got, c.take("")...)
		return len(got) == 3
	})
	if want := []string{"counted a  2", "counted a  3", "counted a  2"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func testNoticesOfMessages(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	put := func(list ...broker.Notice) {
		c.insist("Put", func() error {
			inLine, err := node.node.Presence.Put(c.Context(), node.by, list)
			if err == nil && (len(inLine) != len(list) || slices.Contains(inLine, false)) {
				t.Errorf("in line are %v of %d, and there is no error", inLine, len(list))
			}
			return err
		})
	}
	message := &broker.Message{Channel: "a", Payload: []byte("\xffhi"), Kind: broker.Binary, Event: "client-typing", User: "alice"}
	put(
		broker.Notice{Line: "shop", Event: "published", Channel: "a", User: "alice", Session: "s1", Message: message},
		broker.Notice{Line: "shop", Event: "missed", Channel: "a"},
		broker.Notice{Event: "published", Channel: "a", Message: &broker.Message{Channel: "a", Payload: []byte(`{"n":1}`)}},
	)
	for line, want := range map[string][]string{
		"shop": {"published a alices1 0 client-typing: binary \xffhi by alice", "missed a  0"},
		"":     {`published a  0 : json {"n":1} by `},
	} {
		if got := c.take(line); !slices.Equal(got, want) {
			t.Errorf("in the line %q: %q, want %q", line, got, want)
		}
	}
	node.by.Room = 10
	large := &broker.Message{Channel: "a", Payload: make([]byte, 1200), Kind: broker.Binary}
	for range 12 {
		put(broker.Notice{Event: "published", Channel: "a", Message: large})
	}
	put(broker.Notice{Event: "missed", Channel: "a"})
	line := c.line("teller")
	if n := len(line.Notices); n != 3 || line.Dropped != 10 || line.Notices[2].Event != "missed" {
		t.Errorf("of messages for which there is little room %d wait, and %d were dropped", n, line.Dropped)
	}
}
