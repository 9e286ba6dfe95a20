package gateway_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestDenying_EndsSessionsOnEveryNode(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{})
	a, b := members[0], members[1]
	alice := gateway.Hello{Principal: gateway.Principal{User: "alice"}}
	old := gateway.Hello{Principal: gateway.Principal{User: "bob", Token: gateway.TokenInfo{Shown: true, Issued: time.Now().Add(-time.Hour)}}}
	far := gateway.Hello{Remote: "192.0.2.9:7"}
	mapped := gateway.Hello{Remote: "[::ffff:198.51.100.9]:7"}
	six := gateway.Hello{Remote: "[2001:db8:0:7:1::9%eth0]:7"}
	for name, test := range map[string]struct {
		hello  gateway.Hello
		denial gateway.Denial
		code   int
		again  gateway.Code
	}{
		"a user":     {alice, gateway.Denial{User: "alice"}, 4009, gateway.Forbidden},
		"old tokens": {old, gateway.Denial{User: "bob", Before: time.Now()}, 4001, gateway.Unauthenticated},
		"an address": {far, gateway.Denial{Address: netip.MustParsePrefix("192.0.2.0/24")}, 4009, gateway.Forbidden},
		"an IPv4 address that comes as an IPv6 one": {mapped, gateway.Denial{Address: netip.MustParsePrefix("198.51.100.9/32")}, 4009, gateway.Forbidden},
		"an IPv6 network": {six, gateway.Denial{Address: netip.MustParsePrefix("2001:db8:0:7::/64")}, 4009, gateway.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			there, here, other := b.connect(test.hello), a.connect(test.hello), b.connect(gateway.Hello{})
			if _, err := a.Denials.Deny(t.Context(), &backend, test.denial); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*peer{there, here} {
				if reason := p.expectClosed(); reason.Code != test.code {
					t.Errorf("closed with %+v, want %d", reason, test.code)
				}
			}
			_, err := b.tryConnect(test.hello)
			wantCode(t, err, test.again)
			other.send("ping")
			other.expect("pong")
		})
	}
}

func TestDenying_HoldsOnANodeThatStartsLater(t *testing.T) {
	redis := brokertest.StartRedis(t)
	first := startMember(t, redis, "first", gateway.Config{})
	first.awaitNodes("first")
	if _, err := first.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	later := startMember(t, redis, "later", gateway.Config{}) // ready only when it knows the bans
	first.awaitNodes("first", "later")
	_, err := later.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	wantCode(t, err, gateway.Forbidden)
	if err := later.Denials.Lift(t.Context(), later.Denials.All()[0].ID()); err != nil {
		t.Fatal(err)
	}
	first.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
}

func TestDenying_HoldsWhenRedisHasBeenRestarted(t *testing.T) {
	redis := brokertest.StartRedis(t)
	first := startMember(t, redis, "first", gateway.Config{})
	first.awaitNodes("first")
	if _, err := first.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	redis.CLI("SAVE")
	redis.Stop()
	redis.Start()
	first.awaitReady()
	later := startMember(t, redis, "later", gateway.Config{})
	first.awaitNodes("first", "later")
	for _, m := range []*member{first, later} {
		_, err := m.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		wantCode(t, err, gateway.Forbidden)
	}
	if _, err := later.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "bob"}); err != nil {
		t.Fatal(err)
	}
	_, err := first.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
	wantCode(t, err, gateway.Forbidden)
}

// A failover may lose a ban that has just been confirmed, too: it is like an older copy of the data.
func TestDenying_HoldsWhenRedisHasLostIt(t *testing.T) {
	redis := brokertest.StartRedis(t)
	first := startMember(t, redis, "first", gateway.Config{})
	first.awaitNodes("first")
	deny := func(user string) {
		t.Helper()
		if _, err := first.Denials.Deny(t.Context(), &backend, gateway.Denial{User: user}); err != nil {
			t.Fatal(err)
		}
	}
	deny("alice")
	older := redis.CLI("HGET", "tidegate: register", " version")
	deny("bob")
	bob := first.Denials.All()[slices.IndexFunc(first.Denials.All(), func(d gateway.Denial) bool { return d.User == "bob" })].ID()
	for what, lose := range map[string]func(){
		"all of it": func() { redis.CLI("FLUSHALL") },
		"the latest": func() {
			redis.CLI("EVAL", "redis.call('HDEL', KEYS[1], ARGV[1]) redis.call('HSET', KEYS[1], ' version', ARGV[2])", "1", "tidegate: register", bob, older)
		},
	} {
		t.Run(what, func(t *testing.T) {
			lose()
			brokertest.Eventually(t, "the ban to be in Redis again", func() bool { return redis.CLI("HEXISTS", "tidegate: register", bob) == "1" })
			later := startMember(t, redis, "later-"+strings.Fields(what)[0], gateway.Config{})
			for _, m := range []*member{first, later} {
				for _, user := range []string{"alice", "bob"} {
					_, err := m.tryConnect(gateway.Hello{Principal: gateway.Principal{User: user}})
					wantCode(t, err, gateway.Forbidden)
				}
			}
		})
	}
}

// Redis may fail again while what it had lost is entered.
func TestDenying_HoldsWhenRedisHasLostItAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &lossyRegister{entries: make(map[string]broker.Entry), takes: 100}
		n := startNode(t, gateway.Config{Register: r})
		users := []string{"alice", "bob", "carol"}
		for _, user := range users {
			if _, err := n.Denials.Deny(t.Context(), &backend, gateway.Denial{User: user}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		r.forget()
		time.Sleep(5 * time.Second)
		for _, user := range users {
			_, err := n.tryConnect(gateway.Hello{Principal: gateway.Principal{User: user}})
			wantCode(t, err, gateway.Forbidden)
		}
		if len(r.entries) != len(users) {
			t.Errorf("%d bans are in the register, want %d", len(r.entries), len(users))
		}
	})
}

func TestDenying_CanBeLiftedWhenRedisHasJustLostIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &lossyRegister{entries: make(map[string]broker.Entry), takes: 100}
		n := startNode(t, gateway.Config{Register: r})
		ban, err := n.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"})
		must(t, err)
		time.Sleep(time.Second)
		r.forget()
		must(t, n.Denials.Lift(t.Context(), ban.ID()))
		time.Sleep(5 * time.Second)
		n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	})
}

func TestDenying_WithoutARegisterThereIsNone(t *testing.T) {
	n := startNode(t, gateway.Config{})
	_, err := n.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"})
	wantCode(t, err, gateway.NotFound)
}

// The client is admitted as anonymous and authenticates later.
func TestDenying_WhoAuthenticatesAsOneThatIsBannedIsSentAway(t *testing.T) {
	n := startCluster(t, 1, gateway.Config{Auth: names{}})[0]
	if _, err := n.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	p := n.connect(gateway.Hello{AuthLater: true})
	p.send("auth alice")
	p.expect("error forbidden")
	if reason := p.expectClosed(); reason.Code != 4009 {
		t.Errorf("closed with %+v, want 4009", reason)
	}
}

// channelTokens accepts tokens such as "room-7": one of alice's for the channel room, with the
// ID room-7.
type channelTokens struct{}

func (channelTokens) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	channel, _, _ := strings.Cut(token, "-")
	return gateway.Principal{User: "alice", Token: gateway.TokenInfo{Shown: true, ID: token, Channel: channel, Issued: time.Now().Add(-time.Minute)}}, nil
}

func TestDenying_EndsWhatATokenForAChannelHasOpened(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{Auth: channelTokens{}, Rules: rules.List{
		{Match: "room", Subscribe: rules.Token, Publish: rules.Anyone}, {Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone},
	}})
	a, b := members[0], members[1]
	on := func(n *member, tokens ...string) *peer {
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		p.send("sub open")
		p.expect("subscribed open")
		for i, token := range tokens {
			p.send("%s room %s", []string{"subtoken", "renew"}[i], token)
			p.expect([]string{"subscribed", "renewed"}[i] + " room")
		}
		return p
	}
	there, here := on(b, "room-1"), on(a, "room-1")
	renewed, early, other := on(b, "room-1", "room-2"), on(b, "room-2", "room-1"), on(b, "room-2")
	if _, err := a.Denials.Deny(t.Context(), &backend, gateway.Denial{Token: "room-1"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{there, here, early} {
		p.expect("unsubscribed room unauthenticated")
		p.send("subtoken room room-1")
		p.expect("error unauthenticated")
	}
	a.publish("room", "on")
	a.publish("open", "on")
	for _, p := range []*peer{renewed, other} {
		p.expect("message room on")
	}
	for _, p := range []*peer{there, here, early} {
		p.expect("message open on")
		if heard := p.heardOf("room"); len(heard) > 0 {
			t.Errorf("with a token that is revoked it heard %v", heard)
		}
	}
	if _, err := b.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice", Before: time.Now()}); err != nil {
		t.Fatal(err)
	}
	other.expect("unsubscribed room unauthenticated")
	renewed.expect("unsubscribed room unauthenticated")
}

// An anonymous session may have a user on a channel.
func TestDenying_EndsWhatABannedUserIsOn(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{Rules: gateRules()})
	a, b := members[0], members[1]
	alice, bob := b.connect(behindGate), b.connect(behindGate)
	for p, user := range map[*peer]string{alice: "alice", bob: "bob"} {
		p.send("subtoken room open %s", user)
		p.expect("subscribed room")
	}
	if _, err := a.Denials.Deny(t.Context(), &backend, gateway.Denial{User: "alice", Reason: "spam"}); err != nil {
		t.Fatal(err)
	}
	alice.expect("unsubscribed room forbidden")
	alice.send("subtoken room open alice")
	alice.expect("error forbidden")
	a.publish("room", "on")
	bob.expect("message room on")
	if heard := alice.heardOf("room"); len(heard) > 0 {
		t.Errorf("who is banned heard %v", heard)
	}
}

// A request for a session may come from another address than the session.
func TestDenying_ABannedAddressSendsNothing(t *testing.T) {
	n := startCluster(t, 1, gateway.Config{})[0]
	s, p := openSession(t, n.node)
	if _, err := n.Denials.Deny(t.Context(), &backend, gateway.Denial{Address: netip.MustParsePrefix("192.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	send := func(remote string) error {
		if err := n.Users.Spend(remote); err != nil {
			return err
		}
		return n.Users.SendTo(t.Context(), n.Node(), s.ID(), "its key", gateway.Frame{Data: []byte("ping")})
	}
	wantCode(t, send("192.0.2.9:7"), gateway.Forbidden)
	if err := send("192.0.3.9:7"); err != nil {
		t.Fatal(err)
	}
	p.expect("pong")
}

// lossyRegister is a register whose server may lose everything, and then fail. Its versions are like
// those in Redis.
type lossyRegister struct {
	mu      sync.Mutex
	entries map[string]broker.Entry
	version uint64
	takes   int // how many more entries it takes before it fails once
}

func (r *lossyRegister) Entries(_ context.Context, unless uint64) ([]broker.Entry, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version == unless {
		return nil, r.version, nil
	}
	return slices.Collect(maps.Values(r.entries)), r.version, nil
}

func (r *lossyRegister) Enter(_ context.Context, name string, value []byte, lasts time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.takes--; r.takes == -1 {
		return broker.ErrUnavailable
	}
	r.entries[name] = broker.Entry{Name: name, Value: value, Expires: time.Now().Add(lasts)}
	r.change()
	return nil
}

func (r *lossyRegister) Strike(_ context.Context, name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, existed := r.entries[name]
	delete(r.entries, name)
	r.change()
	return existed, nil
}

func (r *lossyRegister) change() { r.version = max(r.version+1, uint64(time.Now().UnixMilli())) }

func (r *lossyRegister) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.version, r.takes = make(map[string]broker.Entry), 0, 1
}
