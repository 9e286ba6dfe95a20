package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// mortal is the broker of a node that can be killed: from then on it neither sends nor
// receives anything.
type mortal struct {
	*broker.Redis
	broker.Receiver
	dead    atomic.Bool
	lives   atomic.Bool  // the others consider it alive, however rarely it announces itself
	largest atomic.Int64 // size of the largest payload published, in bytes
}

func (m *mortal) Run(ctx context.Context, r broker.Receiver) error {
	m.Receiver = r
	return m.Redis.Run(ctx, m)
}

func (m *mortal) Publish(message broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	if m.dead.Load() {
		done(broker.Position{}, nil)
		return
	}
	for size := int64(len(message.Payload)); ; {
		if most := m.largest.Load(); size <= most || m.largest.CompareAndSwap(most, size) {
			m.Redis.Publish(message, o, done)
			return
		}
	}
}

func (m *mortal) Attend(ctx context.Context, by broker.Attendant, list []broker.Attendance) ([]bool, error) {
	if m.dead.Load() {
		return nil, broker.ErrUnavailable
	}
	return m.Redis.Attend(ctx, m.leased(by), list)
}

func (m *mortal) Keep(ctx context.Context, by broker.Attendant, version uint64) (broker.Standing, error) {
	if m.dead.Load() {
		return broker.Standing{}, broker.ErrUnavailable
	}
	return m.Redis.Keep(ctx, m.leased(by), version)
}

func (m *mortal) leased(by broker.Attendant) broker.Attendant {
	if m.lives.Load() {
		by.Lease = never
	}
	return by
}

func (m *mortal) Take(ctx context.Context, t broker.Teller) (broker.Line, error) {
	if m.dead.Load() {
		return broker.Line{}, broker.ErrUnavailable
	}
	return m.Redis.Take(ctx, t)
}

func (m *mortal) Receive(message broker.Message) {
	if !m.dead.Load() {
		m.Receiver.Receive(message)
	}
}

// member is a node of a cluster that shares one Redis.
type member struct {
	*node
	broker *mortal
}

// startCluster runs nodes named n0, n1, … until the test ends, and waits until each of them
// knows all others.
func startCluster(t *testing.T, size int, c gateway.Config) []*member {
	t.Helper()
	redis := brokertest.StartRedis(t)
	var members []*member
	for i := range size {
		members = append(members, startMember(t, redis, fmt.Sprint("n", i), c))
	}
	for _, m := range members {
		m.awaitNodes(namesOf(members)...)
	}
	return members
}

func startMember(t *testing.T, redis *brokertest.RedisServer, name string, c gateway.Config) *member {
	t.Helper()
	r, err := broker.NewRedis(broker.RedisConfig{URL: redis.URL()})
	must(t, err)
	m := &mortal{Redis: r}
	c.Broker, c.History, c.Register, c.Node, c.Version = m, r, r, name, "v-"+name
	if c.Hooks != nil {
		c.Presence = m
	}
	return &member{startNode(t, c), m}
}

func namesOf(members []*member) (names []string) {
	for _, m := range members {
		names = append(names, m.Node())
	}
	return names
}

// awaitNodes waits until exactly these nodes are alive.
func (m *member) awaitNodes(want ...string) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		var got []string
		nodes, err := m.Nodes.List(m.t.Context())
		for _, n := range nodes {
			got = append(got, n.Node)
		}
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s knows %v (%v), want %v", m.Node(), got, err, want)
		}
	}
}

// connectAs opens a session of a user and subscribes it to channels.
func (n *node) connectAs(user string, channels ...string) *peer {
	n.t.Helper()
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: user}})
	for _, channel := range channels {
		p.send("sub %s", channel)
		p.expect("subscribed " + channel)
	}
	return p
}

// never is longer than any test takes.
const never = time.Hour

func TestCluster_NewcomerKnowsAllAtOnceAndAllKnowIt(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: never})
	members[0].connectAs("alice")
	nodes, err := members[2].Nodes.List(t.Context())
	must(t, err)
	for i, n := range nodes {
		if n.Version != fmt.Sprint("v-n", i) || time.Since(time.UnixMilli(n.Since)) > time.Hour {
			t.Errorf("node %+v", n)
		}
	}
	if nodes[0].Sessions != 1 || nodes[1].Sessions != 0 {
		t.Errorf("%+v, want one session on n0 alone", nodes)
	}
}

func TestCluster_NodeThatLeavesIsGoneAtOnce(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: never})
	members[1].stop()
	members[0].awaitNodes("n0", "n2")
	members[2].awaitNodes("n0", "n2")
}

func TestCluster_DeadNodeIsGoneAfterItsLease(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: time.Second})
	members[1].broker.dead.Store(true)
	members[0].awaitNodes("n0", "n2")
	members[2].awaitNodes("n0", "n2")
}

func TestCluster_OutageOfTheBrokerKillsNobody(t *testing.T) {
	redis := brokertest.StartRedis(t)
	c := gateway.Config{PresenceLease: never}
	first, second := startMember(t, redis, "n0", c), startMember(t, redis, "n1", c)
	first.awaitNodes("n0", "n1")
	second.connectAs("alice")
	redis.Stop()
	if _, err := first.Users.Disconnect(t.Context(), gateway.Whose{User: "alice"}); gateway.ErrorOf(err).Code != gateway.Unavailable {
		t.Errorf("Disconnect during the outage: %v, want unavailable", err)
	}
	redis.Start()
	first.awaitReady()
	second.awaitReady()
	first.awaitNodes("n0", "n1")
	if n, err := first.Users.Disconnect(t.Context(), gateway.Whose{User: "alice"}); n != 1 || err != nil {
		t.Errorf("Disconnect after the outage = %d, %v", n, err)
	}
}

// aGhost is the hello of a node that never answers.
const aGhost = `{"hello":{"node":"ghost","since":1,"sessions":7,"lease":30000}}`

// haunt sends something to the node as if from another node.
func haunt(t *testing.T, b broker.Broker, text string) {
	t.Helper()
	_, err := broker.Publish(t.Context(), b, broker.Message{Channel: "tidegate nodes", Payload: []byte(text)}, broker.PublishOptions{})
	must(t, err)
}

func TestCluster_SilentNodeIsDeadUnlessNobodyCanBeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		n := startNode(t, gateway.Config{Broker: l, History: l, Node: "n0"})
		start := time.Now()
		at := func(after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(time.Until(start.Add(after)))
			nodes, err := n.Nodes.List(t.Context()) // takes a second if one does not answer
			var got []string
			for _, known := range nodes {
				got = append(got, known.Node)
			}
			if !slices.Equal(got, want) || err != nil {
				t.Errorf("after %v the nodes are %v (%v), want %v", after, got, err, want)
			}
		}
		at(0, "n0")
		haunt(t, l, "neither JSON nor a hello")
		haunt(t, l, `{"hello":{"node":"","lease":30000}}`)
		haunt(t, l, `{"unknown":{}}`)
		start = time.Now()
		haunt(t, l, aGhost)
		at(25*time.Second, "ghost", "n0")
		at(31*time.Second, "n0")

		start = time.Now()
		haunt(t, l, aGhost)
		l.Link(broker.ErrUnavailable)
		time.Sleep(33 * time.Second)
		l.Link(nil)
		start = time.Now()
		at(25*time.Second, "ghost", "n0")
		at(31*time.Second, "n0")

		haunt(t, l, aGhost)
		synctest.Wait()
		start = time.Now()
		haunt(t, l, `{"bye":{"node":"ghost"}}`)
		at(time.Second, "n0")
	})
}

func TestErrand_SilentNodeIsNamedAndWhoWasReachedIsCounted(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: never})
	alice := members[0].connectAs("alice")
	lost := members[1].connectAs("alice")
	members[1].broker.dead.Store(true)

	began := time.Now()
	reached, err := members[2].Users.Disconnect(t.Context(), gateway.Whose{User: "alice"})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if e := gateway.ErrorOf(err); reached != 1 || e.Code != gateway.Unavailable || !strings.Contains(e.Message, "n1") {
		t.Errorf("Disconnect = %d, %v, want 1 and unavailable because of n1", reached, err)
	}
	if got := alice.expectClosed(); got.Code != 4009 {
		t.Errorf("closed with %+v", got)
	}
	select {
	case <-lost.closed:
		t.Error("a session of the dead node was closed")
	default:
	}
	if _, err := members[2].Users.Sessions(t.Context(), "alice"); gateway.ErrorOf(err).Code != gateway.Unavailable {
		t.Errorf("Sessions: %v, want unavailable", err)
	}
	if _, err := members[2].Nodes.Channels(t.Context(), "*"); gateway.ErrorOf(err).Code != gateway.Unavailable {
		t.Errorf("Channels: %v, want unavailable", err)
	}
}

func TestErrand_NodeThatLeavesOwesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		n := startNode(t, gateway.Config{Broker: l, History: l})
		time.Sleep(time.Second)
		haunt(t, l, aGhost)
		synctest.Wait()
		began := time.Now()
		time.AfterFunc(time.Second/2, func() { haunt(t, l, `{"bye":{"node":"ghost"}}`) })
		if _, err := n.Users.Sessions(t.Context(), "alice"); err != nil {
			t.Errorf("Sessions: %v", err)
		}
		synctest.Wait() // until the goodbye has been sent
		if took := time.Since(began); took != time.Second/2 {
			t.Errorf("it took %v, want half a second", took)
		}
	})
}

func TestUsers_AreReachedOnEveryNode(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: never})
	var alices []*peer
	for _, m := range members {
		alices = append(alices, m.connectAs("alice", "chat:"+m.Node()))
	}
	bob := members[1].connectAs("bob")
	on := members[0]

	sessions, err := on.Users.Sessions(t.Context(), "alice")
	if err != nil || len(sessions) != 3 {
		t.Fatalf("Sessions = %+v, %v", sessions, err)
	}
	for i, s := range sessions {
		want := []string{"@alice", fmt.Sprint("chat:n", i)}
		if s.Node != fmt.Sprint("n", i) || s.Transport != "test" || s.Protocol != "words" || s.Session == "" || !slices.Equal(s.Channels, want) || i > 0 && s.Since.Before(sessions[i-1].Since) {
			t.Errorf("session %d: %+v", i, s)
		}
	}

	expectReached(t, 3)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "news"}))
	for _, p := range alices {
		p.expect("subscribed news")
	}
	members[2].publish("news", "extra")
	for _, p := range alices {
		p.expect("message news extra")
	}
	expectReached(t, 3)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "news"}))

	expectReached(t, 3)(on.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice"}, "news"))
	for _, p := range alices {
		if told := p.expect("unsubscribed news"); told != "unsubscribed news forbidden" {
			t.Errorf("told %q", told)
		}
	}
	expectReached(t, 0)(on.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice"}, "news"))
	expectReached(t, 1)(on.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice"}, "chat:n2"))

	expectReached(t, 3)(on.Users.Disconnect(t.Context(), gateway.Whose{User: "alice"}))
	for _, p := range alices {
		if got := p.expectClosed(); got.Code != 4009 {
			t.Errorf("closed with %+v", got)
		}
	}
	expectReached(t, 0)(on.Users.Disconnect(t.Context(), gateway.Whose{User: "alice"}))
	if sessions, err := on.Users.Sessions(t.Context(), "alice"); len(sessions) != 0 || err != nil {
		t.Errorf("Sessions = %+v, %v", sessions, err)
	}
	bob.send("ping")
	bob.expect("pong")
	for _, line := range bob.lines() {
		if strings.Contains(line, "news") {
			t.Errorf("bob heard %q", line)
		}
	}
}

func expectReached(t *testing.T, want int) func(int, error) {
	return func(got int, err error) {
		t.Helper()
		if got != want || err != nil {
			t.Errorf("reached %d, %v, want %d", got, err, want)
		}
	}
}

func TestUsers_WhatNoBackendMayDo(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.connectAs("alice")
	for _, test := range []struct {
		user, channel string
		want          gateway.Code
	}{
		{"", "news", gateway.BadRequest},
		{strings.Repeat("a", 256), "news", gateway.BadRequest},
		{"\xff", "news", gateway.BadRequest},
		{"alice", "", gateway.BadRequest},
		{"alice", "tidegate nodes", gateway.BadRequest},
		{"alice", "@bob", gateway.Forbidden},
		{"alice", "@alice", gateway.Forbidden},
	} {
		_, err := n.Users.Subscribe(t.Context(), gateway.Whose{User: test.user}, gateway.Grant{Channel: test.channel})
		wantCode(t, err, test.want)
		_, err = n.Users.Unsubscribe(t.Context(), gateway.Whose{User: test.user}, test.channel)
		wantCode(t, err, test.want)
	}
}

func TestUsers_SubscribeCountsOnlyWhoHasRoom(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{ChannelsPerSession: 2}})
	n.connectAs("alice", "full")
	roomy := n.connectAs("alice")
	reached, err := n.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "news"})
	if reached != 1 {
		t.Errorf("reached %d, want 1", reached)
	}
	wantCode(t, err, gateway.LimitExceeded)
	roomy.expect("subscribed news")
}

func TestUsers_SubscriptionByTheServerOutlivesNewRules(t *testing.T) {
	closed := rules.List{{Match: "*", Subscribe: rules.Nobody}}
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice", Channels: []string{"claimed"}}})
	p.expect("subscribed claimed")
	p.subscribe("chosen")
	expectReached(t, 1)(n.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "given"}))
	must(t, n.SetRules(closed))
	p.expect("unsubscribed chosen forbidden")
	for _, channel := range []string{"@alice", "claimed", "given"} {
		n.publish(channel, "still")
		p.expect("message " + channel + " still")
	}
}

func TestUsers_SessionForOneChannelEndsWithoutIt(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{
		Principal: gateway.Principal{User: "alice"}, Channel: "chat", Commands: []gateway.Command{gateway.Subscribe{}},
	})
	p.expect("subscribed chat")
	expectReached(t, 1)(n.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice"}, "chat"))
	if got := p.expectClosed(); got.Code != 4009 {
		t.Errorf("closed with %+v", got)
	}
}

func TestClaims_WrongChannelIsToldAndTheSessionLives(t *testing.T) {
	n := startNode(t, gateway.Config{})
	claims := []string{"a b", "@bob", "@alice", "", "good"}
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice", Channels: claims}})
	p.expect("error bad_request")
	want := []string{"welcome alice", "subscribed @alice", "subscribed good", "error bad_request", "error forbidden", "error bad_request"}
	p.until("all of it", func() bool { return len(p.lines()) >= len(want) })
	if got := p.lines()[:len(want)]; !slices.Equal(got, want) { // her own join may follow
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestChannels_CountsSessionsAndUsersOfAllNodes(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	members[0].connectAs("alice", "chat:a", "chat:b")
	members[0].connectAs("alice", "chat:a")
	members[0].connectAs("", "chat:a")
	members[1].connectAs("alice", "chat:a")
	members[1].connectAs("bob", "chat:a", "other")
	gone := members[1].connectAs("carol", "chat:gone")
	gone.send("unsub chat:gone")
	gone.expect("unsubscribed")

	want := []gateway.ChannelInfo{{Channel: "chat:a", Sessions: 5, Users: 2}, {Channel: "chat:b", Sessions: 1, Users: 1}}
	for _, m := range members {
		if got, err := m.Nodes.Channels(t.Context(), "chat:*"); err != nil || !slices.Equal(got, want) {
			t.Errorf("on %s: %+v, %v, want %+v", m.Node(), got, err, want)
		}
	}
}

// The node that has had subscribers for the longest time has counted the most messages.
func TestChannels_CountsTheMessagesOfTheNodeThatHasMostOfThem(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	first := members[0].connectAs("alice", "chat:a")
	publish := func(data string) {
		members[0].publish("chat:a", "%s", data)
		first.expect("message chat:a " + data)
	}
	publish("1")
	publish("2")
	late := members[1].connectAs("bob", "chat:a")
	publish("3")
	late.expect("message chat:a 3")
	for _, m := range members {
		if got, err := m.Nodes.Channels(t.Context(), "chat:a"); err != nil || len(got) != 1 || got[0].Messages != 3 {
			t.Errorf("on %s: %+v, %v, want 3 messages", m.Node(), got, err)
		}
	}
}

func TestChannels_LargeReport(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	const users = 4000
	for i := range users {
		open(t, members[i%2].node, fmt.Sprintf("a-user-with-a-long-name-%06d", i/2), "chat")
	}
	got, err := members[0].Nodes.Channels(t.Context(), "*")
	must(t, err)
	if len(got) != users/2+1 {
		t.Errorf("%d channels, want the personal ones and chat", len(got))
	}
	for _, c := range got {
		want := gateway.ChannelInfo{Channel: c.Channel, Sessions: 2, Users: 1}
		if c.Channel == "chat" {
			want.Sessions, want.Users = users, users/2
		}
		if c != want {
			t.Fatalf("%+v, want %+v", c, want)
		}
	}
	members[1].expectParts()
}

func TestSessions_LargeReport(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	const sessions = 500
	for i := range sessions {
		open(t, members[i%2].node, "alice", "chat", "news")
	}
	got, err := members[0].Users.Sessions(t.Context(), "alice")
	if err != nil || len(got) != sessions {
		t.Errorf("%d sessions, %v, want %d", len(got), err, sessions)
	}
	members[1].expectParts()
}

// expectParts fails unless a large report was published, and in parts.
func (m *member) expectParts() {
	m.t.Helper()
	if largest := m.broker.largest.Load(); largest < 16<<10 || largest > 64<<10 {
		m.t.Errorf("the largest part had %d bytes, want some 32 KiB", largest)
	}
}

// open opens a session without a connection.
func open(t *testing.T, n *node, user string, channels ...string) {
	t.Helper()
	hello := gateway.Hello{Protocol: words{"words"}, Transport: "test", Principal: gateway.Principal{User: user}}
	for _, channel := range channels {
		hello.Commands = append(hello.Commands, gateway.Subscribe{Channel: channel})
	}
	if _, err := n.Open(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
}

// TestChannels_LongAnswersShareTheNodesRoom checks that an answer counts against the node's
// budget until the request is done.
func TestChannels_LongAnswersShareTheNodesRoom(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never, Limits: gateway.Limits{InboundBytes: 150_000}})
	for i := range 1000 { // their personal channels make some 100 KB of JSON
		open(t, members[1].node, fmt.Sprintf("a-user-with-a-long-name-%06d", i))
	}
	first, end := context.WithCancel(t.Context())
	if _, err := members[0].Nodes.Channels(first, "*"); err != nil {
		t.Fatal(err)
	}
	_, err := members[0].Nodes.Channels(t.Context(), "*")
	wantCode(t, err, gateway.Unavailable)
	if _, err := members[0].Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"}); err != nil {
		t.Errorf("a ban takes no room: %v", err)
	}
	end()
	eventually(t, "the room to be given back", func() bool {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		_, err := members[0].Nodes.Channels(ctx, "*")
		return err == nil
	})
}
