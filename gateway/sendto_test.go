package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidegate/gateway"
)

// openSession opens a session whose client sends only by SendTo.
func openSession(t *testing.T, n *node) (*gateway.Session, *peer) {
	t.Helper()
	s, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test", Key: "its key"})
	must(t, err)
	p := newPeer(t)
	s.Attach(p)
	t.Cleanup(func() { s.End(nil) })
	return s, p
}

func TestSendTo_ReachesASessionOfAnotherNodeInOrder(t *testing.T) {
	members := startCluster(t, 3, gateway.Config{PresenceLease: never})
	s, p := openSession(t, members[1].node)
	info, err := members[0].Users.FindSession(t.Context(), s.ID())
	if err != nil || info.Node != "n1" || info.Session != s.ID() {
		t.Fatalf("FindSession = %+v, %v", info, err)
	}
	var want []string
	send := func(from *member, text string) {
		t.Helper()
		if err := from.Users.SendTo(t.Context(), info.Node, info.Session, "its key", gateway.Frame{Data: []byte(text)}); err != nil {
			t.Errorf("SendTo: %v", err)
		}
	}
	send(members[0], "sub chat")
	for i := range 40 {
		want = append(want, fmt.Sprint(i))
		send(members[i%3], fmt.Sprint("pub chat ", i))
	}
	p.until("all that was sent", func() bool { return len(p.heardOf("chat")) == len(want) })
	if got := p.heardOf("chat"); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestSendTo_SaysThatASessionIsNotThere(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	s, p := openSession(t, members[1].node)
	s.Close(gateway.Disconnected)
	p.expectClosed()
	err := members[0].Users.SendTo(t.Context(), "n1", s.ID(), "its key", gateway.Frame{Data: []byte("ping")})
	wantCode(t, err, gateway.NotFound)
	_, err = members[0].Users.FindSession(t.Context(), s.ID())
	wantCode(t, err, gateway.NotFound)
	wantCode(t, members[0].Users.SendTo(t.Context(), "n7", s.ID(), "its key", gateway.Frame{}), gateway.Unavailable)
}

func TestSendTo_FrameThatCannotBeReadEndsTheSession(t *testing.T) {
	n := startNode(t, gateway.Config{})
	s, p := openSession(t, n)
	if err := n.Users.SendTo(t.Context(), n.Node(), s.ID(), "its key", gateway.Frame{Data: []byte("break")}); err != nil {
		t.Error(err)
	}
	if got := p.expectClosed(); got != gateway.Unsupported {
		t.Errorf("closed with %+v", got)
	}
}

func TestSendTo_LineIsBounded(t *testing.T) {
	release := make(chan struct{})
	n := startNode(t, gateway.Config{Hooks: newOffice(func(q *gateway.Question) error {
		if q.Event == gateway.OnSubscribe {
			<-release
		}
		return nil
	})})
	defer close(release)
	s, _ := openSession(t, n)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		err = n.Users.SendTo(t.Context(), n.Node(), s.ID(), "its key", gateway.Frame{Data: []byte("history chat")})
	}
	wantCode(t, err, gateway.RateLimited)
}

// TestSendTo_LinesShareTheNodesRoom fills the queues of many sessions, and ends one of them.
func TestSendTo_LinesShareTheNodesRoom(t *testing.T) {
	release := make(chan struct{})
	n := startNode(t, gateway.Config{
		Limits: gateway.Limits{InboundBytes: 115_000}, // 14,375 of them are reserved for backends
		Hooks: newOffice(func(q *gateway.Question) error {
			if q.Event == gateway.OnSubscribe {
				<-release
			}
			return nil
		}),
	})
	frame := gateway.Frame{Data: fmt.Appendf(nil, "%-10000s", "history chat")}
	send := func(s *gateway.Session, f gateway.Frame) error {
		return n.Users.SendTo(t.Context(), n.Node(), s.ID(), "its key", f)
	}
	first, _ := openSession(t, n)
	second, p := openSession(t, n)
	sent, err := 0, error(nil)
	for ; sent < 100 && err == nil; sent++ {
		err = send([]*gateway.Session{first, second}[sent%2], frame)
	}
	wantCode(t, err, gateway.Unavailable)
	if sent != 11 {
		t.Errorf("%d frames of 10,000 bytes found room, want 10", sent-1)
	}
	first.Close(gateway.Disconnected)
	close(release)
	eventually(t, "all room to be given back", func() bool {
		return send(second, gateway.Frame{Data: fmt.Appendf(nil, "%-99000s", "ping")}) == nil
	})
	p.expect("pong")
}

func TestSendTo_NeedsTheSessionsKey(t *testing.T) {
	n := startNode(t, gateway.Config{})
	s, p := openSession(t, n)
	keyless, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test"})
	must(t, err)
	defer keyless.End(nil)
	for _, attempt := range []struct{ session, key string }{{s.ID(), ""}, {s.ID(), "its kez"}, {s.ID(), "its key "}, {keyless.ID(), ""}} {
		err := n.Users.SendTo(t.Context(), n.Node(), attempt.session, attempt.key, gateway.Frame{Data: []byte("break")})
		wantCode(t, err, gateway.Forbidden)
	}
	if err := n.Users.SendTo(t.Context(), n.Node(), s.ID(), "its key", gateway.Frame{Data: []byte("ping")}); err != nil {
		t.Error(err)
	}
	p.expect("pong")
}

func TestSpend_IsPaidForByTheAddress(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecondPerIP: 10}})
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		err = n.Users.Spend("192.0.2.7:1234")
	}
	wantCode(t, err, gateway.RateLimited)
	if err := n.Users.Spend("192.0.2.8:1234"); err != nil {
		t.Errorf("from another address: %v", err)
	}
}

// Searches for clients' sessions, which ask all nodes, must leave room for requests of
// operators.
func TestFindSession_LeavesRoomForBans(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	members[1].broker.dead.Store(true) // it does not answer
	const many = 300
	refused := make(chan error, many)
	var finding sync.WaitGroup
	for range many {
		finding.Go(func() {
			_, err := members[0].Users.FindSession(t.Context(), "nobody")
			refused <- err
		})
	}
	wantCode(t, <-refused, gateway.Unavailable) // one that does not wait comes first
	if _, err := members[0].Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"}); err == nil || !strings.Contains(err.Error(), "n1") {
		t.Errorf("a ban meanwhile: %v, want to hear only that n1 is silent", err)
	}
	finding.Wait()
}
