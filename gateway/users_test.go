package gateway_test

import (
	"testing"
	"time"

	"tidegate/gateway"
)

func TestUsers_SomeSessionsOfAUserAreReached(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{})
	open := func(n *member, session string) *peer {
		return n.connect(gateway.Hello{Session: session, Principal: gateway.Principal{User: "alice"}})
	}
	one, two, three := open(members[0], "one"), open(members[1], "two"), open(members[1], "three")
	on := members[0]
	expectReached(t, 1)(on.SubscribeSome(t.Context(), gateway.Whose{User: "alice", Session: "two"}, "news", time.Time{}))
	two.expect("subscribed news")
	expectReached(t, 2)(on.SubscribeSome(t.Context(), gateway.Whose{User: "alice", Except: []string{"two"}}, "news", time.Time{}))
	three.expect("subscribed news")
	one.expect("subscribed news")
	expectReached(t, 1)(on.UnsubscribeSome(t.Context(), gateway.Whose{User: "alice", Session: "three"}, "news"))
	three.expect("unsubscribed news")
	expectReached(t, 0)(on.DisconnectSome(t.Context(), gateway.Whose{User: "alice", Session: "one", Except: []string{"one"}}))
	expectReached(t, 0)(on.DisconnectSome(t.Context(), gateway.Whose{User: "bob", Session: "one"}))
	expectReached(t, 1)(on.DisconnectSome(t.Context(), gateway.Whose{User: "alice", Except: []string{"one", "two"}}))
	three.expectClosed()
	for _, p := range []*peer{one, two} {
		p.send("ping")
		p.expect("pong")
	}
}

func TestUsers_ASubscriptionOfTheBackendsEndsWhenItSays(t *testing.T) {
	on := startCluster(t, 1, gateway.Config{})[0]
	p := on.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	soon := time.Now().Add(1500 * time.Millisecond)
	expectReached(t, 1)(on.SubscribeSome(t.Context(), gateway.Whose{User: "alice"}, "news", soon))
	p.expect("subscribed news")
	p.expect("unsubscribed news unauthenticated")
	if time.Now().Before(soon) {
		t.Error("it has ended before")
	}
}

func TestUsers_SessionsEndWhenTheBackendSays(t *testing.T) {
	on := startCluster(t, 1, gateway.Config{})[0]
	soon := time.Now().Add(1500 * time.Millisecond)
	connect := func(session string) *peer {
		return on.connect(gateway.Hello{Session: session, Principal: gateway.Principal{User: "alice", Expires: soon}})
	}
	at, now, never := connect("at"), connect("now"), connect("never")
	expectReached(t, 1)(on.Expire(t.Context(), gateway.Whose{User: "alice", Session: "never"}, time.Time{}))
	expectReached(t, 1)(on.Expire(t.Context(), gateway.Whose{User: "alice", Session: "now"}, time.Now()))
	expectReached(t, 1)(on.Expire(t.Context(), gateway.Whose{User: "alice", Session: "at"}, soon))
	for _, p := range []*peer{now, at} {
		if reason := p.expectClosed(); !reason.Is(gateway.TokenExpired) {
			t.Errorf("closed with %+v", reason)
		}
	}
	never.send("ping")
	never.expect("pong")
}
