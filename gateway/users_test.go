package gateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestUsers_SomeSessionsOfAUserAreReached(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{})
	open := func(n *member, session string) *peer {
		return n.connect(gateway.Hello{Session: session, Principal: gateway.Principal{User: "alice"}})
	}
	one, two, three := open(members[0], "one"), open(members[1], "two"), open(members[1], "three")
	on := members[0]
	expectReached(t, 1)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice", Session: "two"}, gateway.Grant{Channel: "news"}))
	two.expect("subscribed news")
	expectReached(t, 2)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice", Except: []string{"two"}}, gateway.Grant{Channel: "news"}))
	three.expect("subscribed news")
	one.expect("subscribed news")
	expectReached(t, 1)(on.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice", Session: "three"}, "news"))
	three.expect("unsubscribed news")
	expectReached(t, 0)(on.Users.Disconnect(t.Context(), gateway.Whose{User: "alice", Session: "one", Except: []string{"one"}}))
	expectReached(t, 0)(on.Users.Disconnect(t.Context(), gateway.Whose{User: "bob", Session: "one"}))
	expectReached(t, 1)(on.Users.Disconnect(t.Context(), gateway.Whose{User: "alice", Except: []string{"one", "two"}}))
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
	expectReached(t, 1)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "news", Until: soon}))
	p.expect("subscribed news")
	p.expect("unsubscribed news unauthenticated")
	if time.Now().Before(soon) {
		t.Error("it has ended before")
	}
}

// A backend may set the user's info on a channel that it subscribes sessions to, and the
// cursor from which they receive it. It does not replace an existing subscription.
func TestUsers_ASubscriptionOfTheBackendsBeginsAsItSays(t *testing.T) {
	on := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Presence: true, HistorySize: 10}}})
	first := on.publish("news", "1")
	on.publish("news", "2")
	open := func(session string) *peer {
		return on.connect(gateway.Hello{Session: session, Principal: gateway.Principal{User: "alice", Info: json.RawMessage(`{"name":"Alice"}`)}})
	}
	given := gateway.Grant{Channel: "news", Info: json.RawMessage(`{"role":"guest"}`), Cursor: first.String()}
	p := open("one")
	expectReached(t, 1)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, given))
	p.expect("subscribed news recovered=true")
	p.expect("message news 2 ")
	eventually(t, "the user is there as the backend says", func() bool {
		found, err := on.Members(t.Context(), &backend, "news")
		return err == nil && len(found) == 1 && string(found[0].Info) == `{"role":"guest"}` && string(found[0].Elsewhere) == `{"name":"Alice"}`
	})
	other := open("two")
	reached, err := on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, given)
	if e := gateway.ErrorOf(err); reached != 1 || e.Code != gateway.BadRequest {
		t.Errorf("reached %d, %v; want the other session, and an error for the first", reached, err)
	}
	other.expect("subscribed news recovered=true")
	long := gateway.Grant{Channel: "more", Info: json.RawMessage(`"` + strings.Repeat("x", gateway.MostInfo-2-len(`{"name":"Alice"}`)) + `"`)}
	expectReached(t, 2)(on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, long))
	long.Channel, long.Info = "most", json.RawMessage(strings.Replace(string(long.Info), "x", "xx", 1))
	reached, err = on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, long)
	if e := gateway.ErrorOf(err); reached != 0 || e.Code != gateway.LimitExceeded {
		t.Errorf("reached %d, %v; want nobody, since both infos together are too long", reached, err)
	}
	given.Cursor = "no cursor"
	if reached, err := on.Users.Subscribe(t.Context(), gateway.Whose{User: "alice", Session: "none"}, given); reached != 0 || err != nil {
		t.Errorf("reached %d, %v; want nobody", reached, err)
	}
}

// A backend may subscribe sessions that are not shown on the channel, are not told of its
// members, or are not told their position.
func TestUsers_ASubscriptionOfTheBackendsIsOnItsTerms(t *testing.T) {
	on := startNode(t, gateway.Config{PresenceLinger: 50 * time.Millisecond, Rules: rules.List{{Match: "*", Presence: true, JoinLeave: true, HistorySize: 10}}})
	on.publish("news", "1")
	come := func(user, as string, g gateway.Grant) *peer {
		t.Helper()
		p := on.connect(gateway.Hello{Protocol: words{as}, Principal: gateway.Principal{User: user}})
		g.Channel = "news"
		expectReached(t, 1)(on.Users.Subscribe(t.Context(), gateway.Whose{User: user}, g))
		return p
	}
	alice := come("alice", "exact", gateway.Grant{})
	alice.expect("subscribed news after=1")
	bob := come("bob", "words", gateway.Grant{Unseen: true})
	carol := come("carol", "exact", gateway.Grant{Unaware: true, Unplaced: true})
	carol.expect("subscribed news after=0")
	dave := come("dave", "words", gateway.Grant{})
	const joined, left = `gateway.Join {"Channel":"news","User":"%s"`, `gateway.Leave {"Channel":"news","User":"%s"`
	for _, user := range []string{"alice", "carol", "dave"} {
		alice.expect(fmt.Sprintf(joined, user))
	}
	bob.expect(fmt.Sprintf(joined, "dave"))
	found, err := on.Members(t.Context(), &backend, "news")
	if got := namesOfMembers(found); err != nil || !slices.Equal(got, []string{"alice", "carol", "dave"}) {
		t.Errorf("the members are %v, %v", got, err)
	}
	bob.Close(gateway.Left, nil)
	dave.Close(gateway.Left, nil)
	alice.expect(fmt.Sprintf(left, "dave"))
	on.publish("news", "2")
	for _, p := range []*peer{alice, carol} {
		p.expect("message news 2")
	}
	for p, never := range map[*peer]string{alice: `"User":"bob"`, carol: `"User":`} {
		if told := strings.Join(p.lines(), " "); strings.Contains(told, never) {
			t.Errorf("who is not to hear of %s heard %s", never, told)
		}
	}
}

func TestUsers_SessionsEndWhenTheBackendSays(t *testing.T) {
	on := startCluster(t, 1, gateway.Config{})[0]
	soon := time.Now().Add(1500 * time.Millisecond)
	connect := func(session string) *peer {
		return on.connect(gateway.Hello{Session: session, Principal: gateway.Principal{User: "alice", Expires: soon}})
	}
	at, now, never := connect("at"), connect("now"), connect("never")
	expectReached(t, 1)(on.Users.Expire(t.Context(), gateway.Whose{User: "alice", Session: "never"}, time.Time{}))
	expectReached(t, 1)(on.Users.Expire(t.Context(), gateway.Whose{User: "alice", Session: "now"}, time.Now()))
	expectReached(t, 1)(on.Users.Expire(t.Context(), gateway.Whose{User: "alice", Session: "at"}, soon))
	for _, p := range []*peer{now, at} {
		if reason := p.expectClosed(); !reason.Is(gateway.TokenExpired) {
			t.Errorf("closed with %+v", reason)
		}
	}
	never.send("ping")
	never.expect("pong")
}

// While the backend is asked about an Auth without a token, it may say when the session ends.
func TestUsers_AnEndThatTheBackendSaysOutlastsASignInWithoutAToken(t *testing.T) {
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	var on *member
	signIn := atomic.Bool{}
	n := startCluster(t, 1, gateway.Config{Hooks: newOffice(func(q *gateway.Question) error {
		if q.Event == gateway.OnConnect && signIn.Load() {
			expectReached(t, 1)(on.Users.Expire(t.Context(), gateway.Whose{User: "alice"}, later))
		}
		return nil
	})})
	on = n[0]
	p := on.connect(gateway.Hello{Protocol: words{"exact"}, Principal: gateway.Principal{User: "alice", Expires: soon}})
	p.expect(fmt.Sprintf("welcome alice key= expires=%d", soon.Unix()))
	signIn.Store(true)
	p.send("auth")
	p.expect(fmt.Sprintf("welcome alice key= expires=%d", later.Unix()))
}
