package brokertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
)

func testJoinAndLeaveOnce(t *testing.T, c *cluster) {
	c.listen("a")
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	first.attends(broker.Attendance{Channel: "a", Members: []broker.Member{{User: "alice", Info: json.RawMessage(`{"n":"A/B"}`), Sessions: 1}}})
	first.has("a", "alice", 2)
	last.has("a", "alice", 1)
	first.has("a", "alice", 0)
	last.has("a", "bob", 1)
	last.has("a", "alice", 0)
	last.has("a", "alice", 0)
	c.expectTold("a", `join alice{"n":"A/B"}`, "join bob", "leave alice")
	for i, m := range c.heard().Messages(broker.PresenceChannel("a")) {
		if m.Position.Offset != uint64(i+1) || m.Position.Epoch == "" {
			t.Errorf("the %d. is at %v", i+1, m.Position)
		}
	}
	first.has("a", "carol", 1)
	c.expectTold("a", `join alice{"n":"A/B"}`, "join bob", "leave alice", "join carol")
	standing, top := last.keeps("a"), c.heard().Messages(broker.PresenceChannel("a"))[3].Position
	if standing.Position != top || !standing.Known || standing.Sessions != 2 || len(standing.Members) != 2 {
		t.Errorf("standing %+v, want known, two sessions and at %v", standing, top)
	}
}

// Both infos of a member are replaced together, whichever node sends them.
func testInfoElsewhere(t *testing.T, c *cluster) {
	c.listen("a")
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	says := func(by *attendant, sessions int, info, elsewhere string) {
		m := broker.Member{User: "alice", Info: json.RawMessage(info), Sessions: sessions}
		if elsewhere != "" {
			m.Elsewhere = json.RawMessage(elsewhere)
		}
		by.attends(broker.Attendance{Channel: "a", Members: []broker.Member{m}})
	}
	says(first, 1, `"here"`, "{\n\"n\":1}")
	c.expectTold("a", `join alice"here"/{"n":1}`)
	c.expectMembers("a", `alice"here"/{"n":1}*1`)
	says(last, 1, `"there"`, "null")
	c.expectMembers("a", `alice"there"/null*2`)
	says(last, 1, `"one"`, "")
	c.expectMembers("a", `alice"one"*2`)
	says(first, 0, `"here"`, `2`)
	c.expectMembers("a", `alice"here"/2*1`)
}

func testSessionsAreAddedUp(t *testing.T, c *cluster) {
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	c.expectMembers("a", "")
	first.has("a", "alice", 2)
	last.attends(broker.Attendance{Channel: "a", Members: []broker.Member{
		{User: "bob", Sessions: 1}, {User: "alice", Info: json.RawMessage(`"new"`), Sessions: 3}}})
	c.expectMembers("a", `alice"new"*5 bob*1`)
	c.expectMembers("b", "")
	first.has("a", "alice", 0)
	c.expectMembers("a", `alice"new"*3 bob*1`)
}

func testLinger(t *testing.T, c *cluster) {
	c.listen("a")
	first, last := c.attendant("first", long, short), c.attendant("last", long, short)
	first.has("a", "alice", 1)
	first.has("a", "bob", 1)
	first.by.Linger = long
	first.has("a", "bob", 0)
	last.has("a", "bob", 1) // reconnects in time, on another node
	c.expectMembers("a", "alice*1 bob*1")
	first.by.Linger = short
	first.has("a", "alice", 0)
	Eventually(t, "alice to leave", func() bool {
		c.looks("a")
		return c.members("a") == "bob*1"
	})
	c.expectTold("a", "join alice", "join bob", "leave alice")
	first.has("a", "alice", 1)
	c.expectTold("a", "join alice", "join bob", "leave alice", "join alice")

	last.by.Linger = long
	last.has("a", "bob", 0)
	first.by.Linger = 0 // ends the lingers that other nodes began
	first.keeps("a")
	c.expectMembers("a", "alice*1")
	c.expectTold("a", "join alice", "join bob", "leave alice", "join alice", "leave bob")
}

func testDeadNodeHasNobody(t *testing.T, c *cluster) {
	c.listen("a")
	dying, last := c.attendant("dying", long, 0), c.attendant("last", long, 0)
	dying.has("a", "alice", 1)
	dying.has("a", "bob", 2)
	last.has("a", "bob", 1)
	dying.by.Lease = short
	dying.keeps("a")
	Eventually(t, "the dead to be gone", func() bool {
		c.looks("a")
		return c.members("a") == "bob*1"
	})
	c.expectTold("a", "join alice", "join bob", "leave alice")
	if dying.keeps("a").Known {
		t.Error("a node that was buried is known")
	}
	c.expectMembers("a", "bob*1")
}

func testSilenceOfAllIsNoDeath(t *testing.T, c *cluster) {
	c.listen("a")
	const lease = 2 * time.Second
	first, last := c.attendant("first", lease, 0), c.attendant("last", lease, 0)
	first.has("a", "alice", 1)
	last.has("a", "bob", 1)
	<-time.After(lease + lease/4)
	c.expectMembers("a", "alice*1 bob*1")
	if !last.keeps("a").Known {
		t.Error("a node was buried in a silence of all")
	}
	c.expectTold("a", "join alice", "join bob")
	Eventually(t, "the node to be gone that stays silent", func() bool {
		last.keeps("a")
		return c.members("a") == "bob*1"
	})
	c.expectTold("a", "join alice", "join bob", "leave alice")
}

func testKeptNodeLives(t *testing.T, c *cluster) {
	node := c.attendant("first", short, 0)
	for kept := false; !kept; kept = node.keeps("a").Known { // retry if the lease ended first
		node.by.Lease = short
		node.attends(broker.Attendance{Channel: "a", Whole: true, Members: []broker.Member{{User: "alice", Sessions: 1}}})
		node.by.Lease = long
	}
	witness := c.attendant("last", short, 0)
	witness.has("b", "bob", 1)
	Eventually(t, "a short lease to end", func() bool {
		c.looks("b")
		return c.members("b") == ""
	})
	c.looks("a")
	c.expectMembers("a", "alice*1")
}

func testWholeReplaces(t *testing.T, c *cluster) {
	c.listen("a")
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	for _, user := range []string{"alice", "bob", "carol"} {
		first.has("a", user, 1)
	}
	last.has("a", "dave", 1)
	last.has("a", "bob", 1)
	first.attends(broker.Attendance{Channel: "a", Whole: true, Members: []broker.Member{{User: "carol", Sessions: 2}}})
	c.expectMembers("a", "bob*1 carol*2 dave*1")
	c.expectTold("a", "join alice", "join bob", "join carol", "join dave", "leave alice")
}

func testAtLeast(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	node.has("a", "alice", 1)
	node.has("a", "bob", 1)
	for _, step := range []struct {
		after uint64
		user  string
		taken bool
		want  string
	}{
		{1, "carol", true, "alice*1 bob*1 carol*1"}, // whether the second was taken or not
		{9, "dave", false, "alice*1 bob*1 carol*1"},
		{0, "erin", true, "alice*1 bob*1 carol*1 erin*1"}, // whatever was taken, and nobody leaves
	} {
		node.version++
		a := broker.Attendance{
			Channel: "a", Version: node.version, After: step.after, AtLeast: true, Sessions: 5,
			Members: []broker.Member{{User: step.user, Sessions: 1}},
		}
		if taken := node.attempts(a); taken != step.taken {
			t.Errorf("after %d at least: taken %v", step.after, taken)
		}
		c.expectMembers("a", step.want)
	}
}

// attempts sends an attendance as it is, and reports whether it was taken.
func (a *attendant) attempts(one broker.Attendance) (taken bool) {
	a.c.Helper()
	a.c.insist("Attend", func() error {
		all, err := a.node.Presence.Attend(a.c.Context(), a.by, []broker.Attendance{one})
		taken = err == nil && all[0]
		return err
	})
	return taken
}

func testOldAttendance(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	node.has("a", "alice", 1)
	node.has("a", "alice", 2)
	gone := []broker.Member{{User: "alice"}}
	for what, a := range map[string]broker.Attendance{
		"older":                 {Version: 1, Whole: true, Members: gone},
		"the same":              {Version: 2, After: 1, Members: gone},
		"after an older one":    {Version: 3, After: 1, Members: gone},
		"after one never taken": {Version: 8, After: 7, Members: gone},
		"after none":            {Version: 3, Members: gone},
	} {
		a.Channel = "a"
		if node.attempts(a) {
			t.Errorf("an attendance was taken that is %s", what)
		}
	}
	c.expectMembers("a", "alice*2")
	if !node.keeps("a").Known {
		t.Error("an attendance is not known that was taken")
	}
}

func testUnknownIsSaid(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	node.version, node.versions["a"] = 3, 3
	if standing := node.keeps("a"); standing.Known {
		t.Errorf("standing %+v on a channel where nobody ever was", standing)
	}
	c.expectMembers("a", "")
}

// testForgottenIsSaid checks a broker that was reset to an earlier state: it does not know
// members who joined since, and still has those who left. Each node must learn this, whichever
// node calls first and however.
func testForgottenIsSaid(t *testing.T, c *cluster) {
	if c.Forget == nil {
		return
	}
	last := c.attendant("last", long, 0)
	for _, speaks := range []string{"attends", "keeps", "hears"} {
		first := c.attendant(speaks, long, 0)
		left, stayed, came, later := speaks+":left", speaks+":stayed", speaks+":came", speaks+":later"
		first.hasAlone(left, "alice")
		first.hasAlone(stayed, "alice")
		last.hasAlone(left, "bob")
		forgot := first.stands().Forgot
		if again := first.stands().Forgot; again != forgot {
			t.Errorf("a broker that has forgotten nothing says so by %d, and then %d", forgot, again)
		}
		c.Forget(func() {
			first.hasAlone(left)
			first.hasAlone(came, "carol")
		})
		switch speaks {
		case "attends":
			first.hasAlone(later, "dave")
		case "hears": // another node calls first
			last.keeps(stayed)
		}
		standing := first.stands()
		for _, channel := range []string{stayed, came} {
			if standing.Since(channel) <= first.versions[channel] {
				t.Errorf("%s is said to be known", channel)
			}
		}
		if standing.Forgot <= forgot {
			t.Errorf("a broker that has forgotten something says so by %d, and before by %d", standing.Forgot, forgot)
		}
		var on []string
		c.insist("Attended", func() (err error) {
			on, err = first.node.Presence.Attended(t.Context(), first.by)
			return err
		})
		if !slices.Contains(on, left) || !slices.Contains(on, stayed) || slices.Contains(on, came) {
			t.Errorf("the node is on %q, want what it has left, and not where it came", on)
		}
		first.hasAlone(left)
		first.hasAlone(came, "carol")
		c.expectMembers(left, "bob*1")
		c.expectMembers(came, "carol*1")
		if seen := first.keeps(left); seen.Sessions != 1 {
			t.Errorf("%d sessions are counted, want that of the other node", seen.Sessions)
		}
	}
}

// hasAlone makes these users the node's only members of a channel, with a session each.
func (a *attendant) hasAlone(channel string, users ...string) {
	a.c.Helper()
	whole := broker.Attendance{Channel: channel, Whole: true}
	for _, user := range users {
		whole.Members = append(whole.Members, broker.Member{User: user, Sessions: 1})
	}
	a.attends(whole)
}

// testConcurrentNodes lets users join and leave on several nodes concurrently. Joins and
// leaves of each user must alternate, and finally agree with the members.
func testConcurrentNodes(t *testing.T, c *cluster) {
	c.listen("a")
	const rounds, users = 40, 3
	var wait sync.WaitGroup
	for n := range 4 {
		node := c.attendant([]string{"first", "last", "third", "fourth"}[n], long, 0)
		wait.Go(func() {
			for i := range rounds {
				node.has("a", fmt.Sprintf("user%d", (i+n)%users), (i/users+n)%2)
			}
			node.has("a", fmt.Sprintf("user%d", n%users), 1)
		})
	}
	wait.Wait()
	c.attendant("end", long, 0).has("a", "end", 1)
	Eventually(t, "the end", func() bool {
		messages := c.heard().Messages(broker.PresenceChannel("a"))
		return len(messages) > 0 && messages[len(messages)-1].User == "end"
	})
	there := make(map[string]bool)
	for _, m := range c.heard().Messages(broker.PresenceChannel("a")) {
		if there[m.User] == (m.Event == broker.EventJoin) {
			t.Errorf("%s %s at %v, again", m.User, m.Event, m.Position)
		}
		there[m.User] = m.Event == broker.EventJoin
	}
	roster, err := c.last().Presence.Members(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range roster.Members {
		if !there[m.User] {
			t.Errorf("%s is a member, but the last that was told is a leave", m.User)
		}
		delete(there, m.User)
	}
	for user, is := range there {
		if is {
			t.Errorf("%s is no member, but the last that was told is a join", user)
		}
	}
}

func testAnyUserName(t *testing.T, c *cluster) {
	c.listen("a")
	node := c.attendant("first", long, 0)
	var want []string
	for _, user := range []string{`q"uo\te`, "blank blank", "a/b", "ünïcödé", "<&>", "new\nline", "7", "node x"} {
		node.has("a", user, 1)
		want = append(want, "join "+user)
	}
	c.expectTold("a", want...)
	if got := strings.Count(c.members("a"), "*1"); got != len(want) {
		t.Errorf("%d members, want %d: %s", got, len(want), c.members("a"))
	}
}

func testManyChannels(t *testing.T, c *cluster) {
	const channels = 700
	node := c.attendant("first", long, 0)
	var list []broker.Attendance
	var names []string
	for i := range channels {
		name := fmt.Sprint("room:", i)
		names = append(names, name)
		list = append(list, broker.Attendance{Channel: name, Members: []broker.Member{{User: "alice", Sessions: i + 1}}})
	}
	node.attends(list...)
	c.insist("Keep", func() error {
		node.version++
		standing, err := node.node.Presence.Keep(t.Context(), node.by, node.version)
		if err != nil {
			return err
		}
		newest, err := node.node.Presence.Look(t.Context(), names)
		for i := range names {
			if newest[names[i]].Offset != 1 || standing.Since(names[i]) > list[i].Version {
				t.Errorf("%s: at %v", names[i], newest[names[i]])
			}
		}
		return err
	})
	for _, i := range []int{0, 350, channels - 1} {
		c.expectMembers(fmt.Sprint("room:", i), fmt.Sprint("alice*", i+1))
	}
}

func testMembersBySession(t *testing.T, c *cluster) {
	c.listen("a")
	first, last := c.attendant("first", long, 0), c.attendant("last", long, 0)
	first.attends(broker.Attendance{Channel: "a", Members: []broker.Member{
		{User: "alice", Session: "s1", Info: json.RawMessage(`1`), Sessions: 1}, {User: "alice", Session: "s2", Sessions: 1}}})
	last.attends(broker.Attendance{Channel: "a", Members: []broker.Member{{Session: "s3", Sessions: 1}}})
	c.expectMembers("a", "s3*1 alice/s11*1 alice/s2*1")
	first.attends(broker.Attendance{Channel: "a", Members: []broker.Member{{User: "alice", Session: "s1"}}})
	c.expectTold("a", "join alice1", "join alice", "join ", "leave alice")
	if got := c.heard().Messages(broker.PresenceChannel("a"))[3].Session; got != "s1" {
		t.Errorf("the leave is of %q, want s1", got)
	}
	c.expectMembers("a", "s3*1 alice/s2*1")
}

func testNothingStays(t *testing.T, c *cluster) {
	node := c.attendant("first", long, 0)
	for _, user := range []string{"alice", "bob"} {
		node.has("a", user, 1)
	}
	node.has("a", "alice", 0)
	node.has("a", "bob", 0)
	c.expectMembers("b", "")
	for _, channel := range []string{"a", "b"} {
		if standing := node.keeps(channel); !standing.Position.IsZero() || standing.Sessions != 0 {
			t.Errorf("of %s, where nobody is, %+v stays", channel, standing)
		}
	}
}
