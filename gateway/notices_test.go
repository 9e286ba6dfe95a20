package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestNotices_FirstAndLastAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(nil)
		n := startNode(t, gateway.Config{Hooks: o})
		wantTold := func(what string, times int) {
			t.Helper()
			synctest.Wait()
			if got := o.heard(what); got != times {
				t.Errorf("%q was told %d times, want %d", what, got, times)
			}
		}
		alice, again := n.connectAs("alice", "chat"), n.connectAs("alice", "chat")
		bob := n.connectAs("bob", "chat")
		time.Sleep(5 * time.Second)
		wantTold("channel_occupied chat", 1)
		wantTold("member_joined chat alice", 1)
		wantTold("member_joined chat bob", 1)
		wantTold("channel_occupied @alice", 1)

		alice.send("unsub chat")
		bob.send("unsub chat")
		time.Sleep(10 * time.Second)
		wantTold("member_left chat alice", 0)
		wantTold("member_left chat bob", 1)
		wantTold("channel_vacated chat", 0)

		again.send("unsub chat")
		time.Sleep(4 * time.Second)
		again.send("sub chat") // back within the linger of 5 s
		time.Sleep(10 * time.Second)
		wantTold("channel_vacated chat", 0)
		wantTold("member_left chat alice", 0)
		wantTold("channel_occupied chat", 1)

		again.send("unsub chat")
		time.Sleep(10 * time.Second)
		wantTold("channel_vacated chat", 1)
		wantTold("member_left chat alice", 1)
		again.send("sub chat")
		time.Sleep(time.Second)
		wantTold("channel_occupied chat", 2)
		wantTold("member_joined chat alice", 2)
	})
}

func TestNotices_AUserWhoAuthenticatesLateIsAMember(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o, Auth: names{}})
	p := n.connect(gateway.Hello{AuthLater: true})
	p.subscribe("chat")
	p.send("auth alice")
	o.expect(t, "member_joined chat alice")
}

func TestNotices_ChannelsWithoutPresenceHaveNoMembers(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})
	n.connectAs("alice", "chat")
	o.expect(t, "channel_occupied chat")
	if got := o.heard("member_joined chat alice"); got != 0 {
		t.Error("a member was told of a channel without presence")
	}
}

func TestNotices_PresenceThatALoadOfTheRulesSwitchesOnHasMembers(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})
	n.connectAs("alice", "chat")
	o.expect(t, "channel_occupied chat")
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Anyone, Presence: true}}))
	o.expect(t, "member_joined chat alice")
}

func TestNotices_WhatFindsNoRoomIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(nil)
		n := startNode(t, gateway.Config{Hooks: o})
		o.setFull(true)
		n.connectAs("alice", "chat")
		time.Sleep(time.Minute)
		o.setFull(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, what := range []string{"channel_occupied chat", "member_joined chat alice"} {
			if got := o.heard(what); got != 1 {
				t.Errorf("%q was told %d times, want once", what, got)
			}
		}
	})
}

func TestNotices_ANodeThatEndsAloneTellsTheEnds(t *testing.T) {
	t.Parallel()
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o})
	n.connectAs("alice", "chat")
	o.expect(t, "member_joined chat alice")
	n.stop()
	for _, what := range []string{"channel_vacated chat", "member_left chat alice", "disconnect alice drain"} {
		if got := o.heard(what); got != 1 {
			t.Errorf("%q was told %d times, want once", what, got)
		}
	}
}

func TestNotices_NodesTellOnceTogether(t *testing.T) {
	t.Parallel()
	o := newOffice(nil)
	members := startCluster(t, 2, gateway.Config{Hooks: o, PresenceLease: never, PresenceLinger: time.Millisecond})
	channels := []string{"a", "b", "c", "d", "e", "f", "g", "h"} // not all with the same keeper
	var peers []*peer
	for _, m := range members {
		peers = append(peers, m.connectAs("alice", channels...))
	}
	for _, channel := range channels {
		o.expect(t, "channel_occupied "+channel)
		o.expect(t, "member_joined "+channel+" alice")
	}
	for _, p := range peers {
		for _, channel := range channels {
			p.send("unsub %s", channel)
			p.expect("unsubscribed " + channel)
		}
	}
	for _, channel := range channels {
		o.expect(t, "channel_vacated "+channel)
		o.expect(t, "member_left "+channel+" alice")
	}
	for _, channel := range channels {
		for _, what := range []string{
			"channel_occupied " + channel, "channel_vacated " + channel,
			"member_joined " + channel + " alice", "member_left " + channel + " alice",
		} {
			if got := o.heard(what); got != 1 {
				t.Errorf("%q was told %d times, want once", what, got)
			}
		}
	}
}

// Whether a node was a channel's subscriber, its keeper or both: when it dies, the others
// report what has ended with it, and nothing else.
func TestNotices_TheOthersTellOfADeadNode(t *testing.T) {
	t.Parallel()
	const size = 3
	redis := brokertest.StartRedis(t)
	var members []*member
	var offices []*office // one for each node, because a dead node goes on talking
	for i := range size {
		offices = append(offices, newOffice(nil))
		members = append(members, startMember(t, redis, fmt.Sprint("n", i), gateway.Config{
			Hooks: offices[i], PresenceLease: 2 * time.Second, PresenceLinger: time.Millisecond,
		}))
		members[i].broker.lives.Store(i > 0) // a busy machine does not count as dead
	}
	for _, m := range members {
		m.awaitNodes(namesOf(members)...)
	}
	// expect waits until one of the offices from first on has been told.
	expect := func(first int, what string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
			for _, o := range offices[first:] {
				if o.heard(what) > 0 {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("nobody was told %q", what)
			}
		}
	}
	var alone, shared []string
	for _, letter := range strings.Split("abcdefghijkl", "") {
		alone, shared = append(alone, "alone:"+letter), append(shared, "shared:"+letter)
	}
	members[0].connectAs("alice", append(alone, shared...)...)
	members[1].connectAs("bob", shared...)
	for _, channel := range append(alone, shared...) {
		expect(0, "member_joined "+channel+" alice")
		expect(0, "channel_occupied "+channel)
	}
	for _, channel := range shared {
		expect(0, "member_joined "+channel+" bob")
	}
	members[0].broker.dead.Store(true)
	for _, channel := range alone {
		expect(1, "channel_vacated "+channel)
		expect(1, "member_left "+channel+" alice")
	}
	for _, channel := range shared {
		expect(1, "member_left "+channel+" alice")
		for _, o := range offices[1:] {
			if o.heard("channel_vacated "+channel) > 0 || o.heard("member_left "+channel+" bob") > 0 {
				t.Errorf("%s was told to be vacated, with bob on it", channel)
			}
		}
	}
}

func TestNotices_TheOthersTellOfANodeThatLeaves(t *testing.T) {
	t.Parallel()
	o := newOffice(nil)
	members := startCluster(t, 2, gateway.Config{Hooks: o, PresenceLease: never, PresenceLinger: time.Millisecond})
	channels := []string{"a", "b", "c", "d", "e", "f"}
	members[0].connectAs("alice", channels...)
	for _, channel := range channels {
		o.expect(t, "channel_occupied "+channel)
	}
	members[0].stop()
	for _, channel := range channels {
		o.expect(t, "channel_vacated "+channel)
		o.expect(t, "member_left "+channel+" alice")
	}
}

func TestNotices_ANewcomerTellsNothingThatIsKnown(t *testing.T) {
	t.Parallel()
	o := newOffice(nil)
	members := startCluster(t, 2, gateway.Config{Hooks: o, PresenceLease: never, PresenceLinger: time.Millisecond})
	channels := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	members[0].connectAs("alice", channels...)
	for _, channel := range channels {
		o.expect(t, "channel_occupied "+channel)
	}
	members[1].connectAs("bob", channels...)
	for _, channel := range channels {
		o.expect(t, "member_joined "+channel+" bob")
		if got := o.heard("channel_occupied " + channel); got != 1 {
			t.Errorf("%s was told to be occupied %d times, want once", channel, got)
		}
	}
}

func TestNotices_SessionsOfACrashedNodeAreOver(t *testing.T) {
	t.Parallel()
	o := newOffice(nil)
	members := startCluster(t, 2, gateway.Config{Hooks: o, PresenceLease: 2 * time.Second, PresenceLinger: time.Millisecond})
	members[0].connectAs("alice", "chat")
	members[1].connectAs("bob", "chat")
	o.expect(t, "member_joined chat alice")
	members[0].broker.dead.Store(true)
	o.expect(t, "disconnect alice connection_lost")
	o.expect(t, "member_left chat alice")
	if got := o.heard("disconnect bob connection_lost"); got != 0 {
		t.Error("the end of a session was told that goes on")
	}
}

// A session that was too short to be stored in Redis is reported, too.
func TestNotices_ShortSessionsAreTold(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o})
	for i := range 20 {
		n.connectAs(fmt.Sprint("user", i)).hangUp()
	}
	for i := range 20 {
		o.expect(t, fmt.Sprint("disconnect user", i, " connection_lost"))
	}
}
