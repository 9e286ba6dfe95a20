package brokertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
)

// takes calls Take on the last node.
func (c *cluster) takes(t broker.Teller) (line broker.Line) {
	c.Helper()
	c.insist("Take", func() (err error) {
		line, err = c.last().Presence.Take(c.Context(), t)
		return err
	})
	return line
}

// take returns the notices that wait in a line, and removes them.
func (c *cluster) take(line string) (taken []string) {
	c.Helper()
	for t := (broker.Teller{Line: line, Node: "teller", Lease: long, Most: 1000}); ; {
		got := c.takes(t).Notices
		if len(got) == 0 {
			return taken
		}
		t.Delivered = nil
		for _, n := range got {
			taken, t.Delivered = append(taken, textOf(&n)), append(t.Delivered, n.ID)
		}
	}
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
		slices.Sort(got) // notices of different channels may be in any order
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

// puts queues notices in their lines.
func (c *cluster) puts(a *attendant, list ...broker.Notice) {
	c.Helper()
	c.insist("Put", func() error {
		inLine, err := a.node.Presence.Put(c.Context(), a.by, list)
		if err == nil && (len(inLine) != len(list) || slices.Contains(inLine, false)) {
			c.Errorf("in line are %v of %d, and there is no error", inLine, len(list))
		}
		return err
	})
}

// testNoticesOfARepeatedPublish checks that a message with a key is queued once per line,
// whichever node queues it and even after it was delivered.
func testNoticesOfARepeatedPublish(t *testing.T, c *cluster) {
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	published := func(line, channel, key string) broker.Notice {
		return broker.Notice{Line: line, Event: "published", Channel: channel, Message: &broker.Message{Channel: channel, Key: key, Payload: []byte("1")}}
	}
	for _, node := range []*attendant{first, last} {
		c.puts(node, published("", "a", "k"), published("", "b", "k"), published("", "a", ""), published("shop", "a", "k"), published("shop", "a", "k"))
	}
	for line, want := range map[string][]string{"": {"a", "a", "a", "b"}, "shop": {"a"}} {
		var got []string
		for _, text := range c.take(line) {
			got = append(got, strings.Fields(text)[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("in the line %q are notices of %q, want %q", line, got, want)
		}
	}
	c.puts(first, published("", "a", "k"))
	if got := c.take(""); got != nil {
		t.Errorf("after it was delivered it is in line again: %q", got)
	}
}

func testNoticesOfMessages(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	put := func(list ...broker.Notice) { c.puts(node, list...) }
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
	large := []*broker.Message{
		{Channel: "a", Payload: make([]byte, 1200), Kind: broker.Binary},
		{Channel: "a", Payload: []byte("1"), Tags: []byte(`{"a":"` + strings.Repeat("x", 1200) + `"}`)},
	}
	for i := range 12 {
		put(broker.Notice{Event: "published", Channel: "a", Message: large[i%2]})
	}
	put(broker.Notice{Event: "missed", Channel: "a"})
	line := c.line()
	if n := len(line.Notices); n != 3 || line.Dropped != 10 || line.Notices[2].Event != "missed" {
		t.Errorf("of messages for which there is little room %d wait, and %d were dropped", n, line.Dropped)
	}
}

// line confirms the delivered notices and returns those that wait in the line without a name. It
// keeps the lease of the line.
func (c *cluster) line(delivered ...broker.Notice) broker.Line {
	c.Helper()
	t := broker.Teller{Node: "teller", Lease: long, Most: 1000}
	for _, n := range delivered {
		t.Delivered = append(t.Delivered, n.ID)
	}
	return c.takes(t)
}

// expectLine compares the waiting notices of a channel, and returns all that wait.
func (c *cluster) expectLine(channel string, want ...string) []broker.Notice {
	c.Helper()
	line := c.line()
	var got []string
	for _, n := range line.Notices {
		if n.Channel == channel {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s%s %d", n.Event, n.User, n.Info, n.Sessions)))
		}
		if n.ID == "" || time.Since(n.Time).Abs() > time.Minute {
			c.Errorf("the notice %+v has no name or another time", n)
		}
	}
	if !slices.Equal(got, want) {
		c.Errorf("in line for %s: %q, want %q", channel, got, want)
	}
	return line.Notices
}

func testNoticesAreOfFirstAndLast(t *testing.T, c *cluster) {
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	first.attends(broker.Attendance{Channel: "a", Members: []broker.Member{{User: "alice", Info: json.RawMessage(`1`), Sessions: 1}}})
	last.attends(broker.Attendance{Channel: "a", Sessions: 5}) // anonymous
	last.attends(broker.Attendance{Channel: "a", Sessions: 6, Members: []broker.Member{{User: "alice", Info: json.RawMessage(`1`), Sessions: 1}}})
	first.has("a", "alice", 0)
	last.attends(broker.Attendance{Channel: "a", Sessions: 5, Members: []broker.Member{{User: "alice"}}})
	last.attends(broker.Attendance{Channel: "a"})
	last.has("b", "bob", 1)
	delivered := c.expectLine("a", "occupied  1", "joined alice1 1", "left alice1 5", "vacated  0")
	if rest := c.line(delivered...); len(rest.Notices) > 0 {
		t.Errorf("%v wait, though all were delivered", rest.Notices)
	}
	last.has("b", "bob", 0)
	c.expectLine("b", "left bob 0", "vacated  0")
}

func testNoticesOfLingers(t *testing.T, c *cluster) {
	node := c.attendant("first", long, long)
	node.has("a", "alice", 1)
	node.has("a", "alice", 0)
	node.has("a", "alice", 2)
	node.by.Linger = short
	node.has("a", "alice", 0)
	Eventually(t, "the channel to be vacated", func() bool {
		c.looks("a")
		return len(c.line().Notices) == 4
	})
	c.expectLine("a", "occupied  1", "joined alice 1", "left alice 0", "vacated  0")
}

func testNoticesOfADeadNode(t *testing.T, c *cluster) {
	const sessions = 1500 // more than a single script call removes
	dying, last := c.attendant("dying", long, long), c.attendant("last", long, long)
	over := broker.SessionsChannel("dying")
	var members []broker.Member
	for i := range sessions {
		members = append(members, broker.Member{User: "alice", Session: fmt.Sprint("s", i), Sessions: 1})
	}
	dying.attends(broker.Attendance{Channel: over, Members: members})
	dying.has("a", "alice", 1)
	dying.has("b", "alice", 1)
	last.has("b", "bob", 1)
	closed := broker.Member{User: "alice", Session: "s7", Info: json.RawMessage(`"bye"`)}
	dying.attends(broker.Attendance{Channel: over, Members: []broker.Member{closed}})
	c.line(c.expectLine(over, `left alice"bye" 1499`)...)
	short := broker.Member{User: "alice", Session: "unknown", Info: json.RawMessage(`"bye"`)}
	dying.attends(broker.Attendance{Channel: over, Members: []broker.Member{short}})
	c.line(c.expectLine(over, `left alice"bye" 1499`)...)
	dying.by.Lease = 300 * time.Millisecond
	dying.keeps("a")
	ended := make(map[string]bool)
	var others []string
	Eventually(t, "all that ended with the node", func() bool {
		c.looks("a")
		line := c.line()
		for _, n := range line.Notices {
			if n.Channel == over {
				ended[n.Session] = n.Event == broker.NoticeLeft && n.User == "alice"
			} else {
				others = append(others, n.Event+" "+n.Channel)
			}
		}
		c.line(line.Notices...)
		return len(ended) == sessions-1 && len(others) == 3
	})
	for session, is := range ended {
		if !is {
			t.Errorf("the end of %s was told as something else", session)
		}
	}
	slices.Sort(others)
	if want := []string{"left a", "left b", "vacated a"}; !slices.Equal(others, want) {
		t.Errorf("told %q, want %q", others, want)
	}
	c.expectMembers("b", "bob*1")
}

func testOneTellerAtATime(t *testing.T, c *cluster) {
	c.attendant("first", long, 0).has("a", "alice", 1)
	take := func(node string, lease time.Duration) broker.Line {
		return c.takes(broker.Teller{Node: node, Lease: lease, Most: 10})
	}
	if line := take("one", long); len(line.Notices) != 2 || line.Holder != "" {
		t.Errorf("the first who asks is given %+v", line)
	}
	if line := take("other", long); len(line.Notices) != 0 || line.Holder != "one" {
		t.Errorf("another one is given %+v", line)
	}
	take("one", 0)
	if line := take("other", short); len(line.Notices) != 2 {
		t.Errorf("after it was given up, another one is given %+v", line)
	}
	Eventually(t, "the lease to end", func() bool { return len(take("one", long).Notices) == 2 })
}

func testLineIsBounded(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	node.by.Room = 10
	for i := range 15 {
		node.has("a", fmt.Sprint("user", i), 1)
	}
	line := c.line()
	if len(line.Notices) != 10 || line.Notices[9].User != "user14" || line.Dropped != 6 {
		t.Errorf("%d wait and %d were dropped of 16, want the newest 10", len(line.Notices), line.Dropped)
	}
	if again := c.line(); again.Dropped != 0 {
		t.Errorf("a loss is told again: %d", again.Dropped)
	}
}
