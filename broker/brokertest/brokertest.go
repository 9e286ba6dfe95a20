// Package brokertest holds every broker to the contract of package broker, and
// runs the servers that brokers need in tests.
package brokertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tidegate/broker"
)

// Node is one gateway node's view of the subject.
type Node struct {
	Broker   broker.Broker
	History  broker.History
	Presence broker.Presence
	Register broker.Register
}

// Subject is a broker to be tested: one or more nodes that share a cluster and
// that nobody has run yet.
type Subject struct {
	Nodes []Node

	// PublishBare publishes a payload as a backend would, without an envelope.
	// May be nil.
	PublishBare func(channel, payload string)

	// Forget calls do, and has the broker forget what happened meanwhile. May be nil.
	Forget func(do func())
}

// Run tests the broker that makeSubject returns, anew for each test.
func Run(t *testing.T, makeSubject func(*testing.T) Subject) {
	RunIn(t, func(t *testing.T, test func(*testing.T)) { test(t) }, makeSubject)
}

// RunIn is Run with each test in an environment, as synctest.Test is one.
func RunIn(t *testing.T, in func(t *testing.T, test func(*testing.T)), makeSubject func(*testing.T) Subject) {
	tests := []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"Lifecycle/LinkIsToldUp", testLinkIsToldUp},
		{"Lifecycle/NothingAfterRun", testNothingAfterRun},
		{"Live/FieldsArrive", testFieldsArrive},
		{"Live/PayloadsArrive", testPayloadsArrive},
		{"Live/AnyChannelName", testAnyChannelName},
		{"Live/OnlySubscribedChannels", testOnlySubscribedChannels},
		{"Live/SubscribeAgain", testSubscribeAgain},
		{"Live/SubscribeTogether", testSubscribeTogether},
		{"Live/EveryNodeReceives", testEveryNodeReceives},
		{"Live/OrderPerChannel", testOrderPerChannel},
		{"Live/OrderWithoutWaiting", testOrderWithoutWaiting},
		{"Live/ManyChannelsAtOnce", testManyChannelsAtOnce},
		{"Live/BarePublish", testBarePublish},
		{"Live/BarePassesForNoEnvelope", testBarePassesForNoEnvelope},
		{"Live/BareFromBackend", testBareFromBackend},
		{"Live/EndedContext", testEndedContext},
		{"Key/PublishedOnce", testKeyPublishedOnce},
		{"Key/FirstPositionReturned", testKeyFirstPosition},
		{"Key/ConcurrentPublishers", testKeyConcurrent},
		{"History/PositionsCountUp", testPositionsCountUp},
		{"History/ReceivedInOrderOfOffset", testReceivedInOrderOfOffset},
		{"History/Since", testSince},
		{"History/SinceLost", testSinceLost},
		{"History/Latest", testLatest},
		{"History/Nothing", testNothing},
		{"History/PageOfBytes", testPageOfBytes},
		{"History/TrimmedToSize", testTrimmedToSize},
		{"History/Expires", testExpires},
		{"History/Tops", testTops},
		{"History/Clear", testClear},
		{"Presence/JoinAndLeaveOnce", testJoinAndLeaveOnce},
		{"Presence/SessionsAreAddedUp", testSessionsAreAddedUp},
		{"Presence/InfoElsewhere", testInfoElsewhere},
		{"Presence/Linger", testLinger},
		{"Presence/DeadNodeHasNobody", testDeadNodeHasNobody},
		{"Presence/SilenceOfAllIsNoDeath", testSilenceOfAllIsNoDeath},
		{"Presence/KeptNodeLives", testKeptNodeLives},
		{"Presence/WholeReplaces", testWholeReplaces},
		{"Presence/OldAttendanceDoesNothing", testOldAttendance},
		{"Presence/UnknownIsSaid", testUnknownIsSaid},
		{"Presence/ForgottenIsSaid", testForgottenIsSaid},
		{"Presence/ConcurrentNodes", testConcurrentNodes},
		{"Presence/AnyUserName", testAnyUserName},
		{"Presence/ManyChannels", testManyChannels},
		{"Presence/MembersBySession", testMembersBySession},
		{"Presence/NothingStays", testNothingStays},
		{"Notices/AreOfFirstAndLast", testNoticesAreOfFirstAndLast},
		{"Notices/OfLingers", testNoticesOfLingers},
		{"Notices/OfADeadNode", testNoticesOfADeadNode},
		{"Notices/OneTellerAtATime", testOneTellerAtATime},
		{"Notices/StandInTheirLines", testNoticesStandInTheirLines},
		{"Notices/OfADeadNodeCount", testNoticesOfADeadNodeCount},
		{"Notices/OfMessages", testNoticesOfMessages},
		{"Notices/OfARepeatedPublish", testNoticesOfARepeatedPublish},
		{"Notices/LineIsBounded", testLineIsBounded},
		{"Register/IsShared", testRegisterIsShared},
		{"Register/Versions", testRegisterVersions},
		{"Register/Expires", testRegisterExpires},
		{"Register/IsBounded", testRegisterIsBounded},
	}
	t.Run("Lifecycle/NothingBeforeRun", func(t *testing.T) {
		in(t, func(t *testing.T) { testNothingBeforeRun(t, makeSubject(t)) })
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in(t, func(t *testing.T) { test.test(t, runSubject(t, makeSubject(t))) })
		})
	}
}

// cluster is a subject whose nodes run until the test ends.
type cluster struct {
	*testing.T
	Subject
	told   []*Recorder // what each node was told
	stop   func()      // ends all nodes and waits
	looker *attendant  // see looks
}

func runSubject(t *testing.T, s Subject) *cluster {
	c := &cluster{T: t, Subject: s}
	var stops []func()
	for _, node := range s.Nodes {
		recorder, stop := RunBroker(t, node.Broker)
		c.told = append(c.told, recorder)
		stops = append(stops, stop)
	}
	c.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	for _, recorder := range c.told {
		recorder.WaitUp()
	}
	return c
}

// RunBroker runs b until stop is called, or the test ends. stop waits for Run to
// return and may be called again.
func RunBroker(t testing.TB, b broker.Broker) (told *Recorder, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	told = NewRecorder(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Run(ctx, told); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return told, stop
}

// first is the node that subscribes, last the one that publishes: another one
// where there is one.
func (c *cluster) first() Node      { return c.Nodes[0] }
func (c *cluster) last() Node       { return c.Nodes[len(c.Nodes)-1] }
func (c *cluster) heard() *Recorder { return c.told[0] }

func (c *cluster) subscribe(channels ...string) {
	c.Helper()
	for _, channel := range channels {
		if err := c.first().Broker.Subscribe(c.Context(), channel); err != nil {
			c.Fatalf("Subscribe(%q): %v", channel, err)
		}
	}
}

func (c *cluster) publish(m broker.Message, o broker.PublishOptions) broker.Position {
	c.Helper()
	position, err := broker.Publish(c.Context(), c.last().Broker, m, o)
	if err != nil {
		c.Fatalf("Publish(%q): %v", m.Channel, err)
	}
	return position
}

// insist does something until the broker is available: a machine that does all at
// once may not answer all within a second.
func (c *cluster) insist(what string, do func() error) {
	deadline := time.Now().Add(Patience)
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(deadline) {
			c.Errorf("%s: %v", what, err)
			return
		}
		<-time.After(10 * time.Millisecond) // a thousand who insist at once leave it no time
	}
}

// text is a message of a channel.
func text(channel, payload string) broker.Message {
	return broker.Message{
		Channel: channel, Payload: []byte(payload), Kind: broker.Text,
		Time: time.UnixMilli(1763845845123),
	}
}

func payloads(messages []broker.Message) []string {
	list := make([]string, len(messages))
	for i, m := range messages {
		list[i] = string(m.Payload)
	}
	return list
}
