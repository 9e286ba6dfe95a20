package gateway_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// passwords is a Gate: the only good token is "open", and the data names the client.
type passwords struct{}

var errPassword = &gateway.Error{Code: gateway.Unauthenticated, Message: "the password is wrong"}

func (passwords) SignIn(_ context.Context, _ string, c gateway.Auth) (gateway.Principal, error) {
	if c.Token != "open" {
		return gateway.Principal{}, errPassword
	}
	return gateway.Principal{User: c.Data, Info: json.RawMessage(`{"signed":true}`)}, nil
}

func (passwords) Admit(_ context.Context, _ string, _ *gateway.Principal, c gateway.Subscribe) (gateway.Admission, error) {
	if c.Token == "" {
		return gateway.Admission{}, nil
	}
	if c.Token != "open" {
		return gateway.Admission{}, errPassword
	}
	a := gateway.Admission{Named: true}
	if seconds, err := strconv.Atoi(c.Data); err == nil {
		a.Until, c.Data = time.Now().Add(time.Duration(seconds)*time.Second), ""
	}
	if c.Data != "" {
		a.As = &gateway.Identity{User: c.Data, Info: json.RawMessage(`{"on":"` + c.Channel + `"}`)}
	}
	return a, nil
}

var behindGate = gateway.Hello{Gate: passwords{}}

func gateRules() rules.List {
	return rules.List{
		{Match: "room", Subscribe: rules.Token, Publish: rules.Anyone, Presence: true, JoinLeave: true},
		{Match: "shut", Subscribe: rules.Nobody},
		{Match: "known", Subscribe: rules.Authenticated, Publish: rules.Authenticated},
		{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone},
	}
}

func TestGate_NamesChannelsThatTheRulesOpenToTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules()})
		for command, want := range map[string]string{
			"sub plain":                 "subscribed plain",
			"sub room":                  "error unauthenticated",
			"subtoken room wrong":       "error unauthenticated",
			"subtoken room open":        "subscribed room",
			"subtoken shut open":        "error unauthenticated", // the rule allows nobody
			"sub known":                 "error unauthenticated",
			"subtoken known open alice": "subscribed known",
			"subtoken @alice open":      "error unauthenticated",
			"pubjoined plain 1":         "error forbidden",
			"auth wrong":                "error unauthenticated",
			"auth open alice":           "welcome alice",
		} {
			p := n.connect(behindGate)
			p.expect("welcome")
			p.send("%s", command)
			p.expect(want)
		}
	})
}

func TestGate_SaysWhoIsOnAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules()})
		one, two := n.connect(behindGate), n.connect(behindGate)
		one.send("subtoken room open alice")
		one.expect("subscribed room")
		one.subscribe("plain")
		two.send("subtoken room open bob")
		two.expect("subscribed room")
		one.expect(`gateway.Join {"Channel":"room","User":"bob","Session":"","Info":{"on":"room"},"Elsewhere":null}`)

		members, err := n.Members(t.Context(), &backend, "room")
		if got := namesOfMembers(members); err != nil || !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("the members are %v, %v", got, err)
		}
		channels, err := n.Nodes.Channels(t.Context(), "*")
		if err != nil || !slices.Equal(channels, []gateway.ChannelInfo{{Channel: "plain", Sessions: 1}, {Channel: "room", Sessions: 2, Users: 2}}) {
			t.Errorf("the channels are %v, %v", channels, err)
		}
		one.send("presence room") // with the identity that it has there
		one.expect("gateway.Members")
		one.Close(gateway.Left, nil)
		two.expect(`gateway.Leave {"Channel":"room","User":"alice"`)
	})
}

func TestGate_MessagesAreOfWhoIsOnTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules()})
		listener := n.connect(gateway.Hello{Protocol: words{"signed"}})
		listener.send("sub open")
		listener.subscribe("other")
		p := n.connect(behindGate)
		p.send("subtoken open open alice")
		p.expect("subscribed open")
		p.send("pub open 1")
		p.send("pub other 2")
		listener.expect("message open 1 by alice")
		listener.expect("message other 2 by ")
	})
}

// When the rules change, a client loses a channel that its token does not name, and keeps one
// that it names.
func TestGate_NamedChannelsStayWhenRulesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules()})
		p := n.connect(behindGate)
		for _, channel := range []string{"one", "two"} {
			p.send("subtoken %s %s", channel, map[string]string{"one": "open", "two": ""}[channel])
			p.expect("subscribed " + channel)
		}
		must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Token}}))
		p.expect("unsubscribed two")
		synctest.Wait()
		for _, line := range p.lines() {
			if strings.HasPrefix(line, "unsubscribed one") {
				t.Error("the channel that the token names was taken as well")
			}
		}
	})
}

func TestRecent_NothingRecentIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5, gateway.Limits{})
		p := n.connect(gateway.Hello{})
		for _, channel := range []string{"kept:empty", "plain"} {
			p.send("subrecent %s 1", channel)
			p.expect("nothing recent " + channel)
			n.publish(channel, "first")
			p.expect("message " + channel + " first")
		}
		again := n.connect(gateway.Hello{})
		again.send("subrecent kept:empty 1")
		again.expect("message kept:empty first")
		if got := count(again.lines(), "nothing recent kept:empty"); got != 0 {
			t.Errorf("it is told that there is nothing, beside a message")
		}
	})
}

func TestRecent_MembersAreToldBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := broker.NewMemory()
		n := startNode(t, gateway.Config{Broker: memory, History: memory, Presence: memory, Rules: rules.List{{
			Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, Presence: true, JoinLeave: true, HistorySize: 5,
		}}})
		alice := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		alice.send("submembers room 1")
		alice.expect("subscribed room [alice]")
		alice.expect("nothing recent room")
		n.publish("room", "hello")
		time.Sleep(time.Second) // until the node has reported that she is there
		bob := n.connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
		bob.send("submembers room 1")
		bob.expect("subscribed room [alice bob]")
		bob.expect("message room hello")
		alice.expect(`gateway.Join {"Channel":"room","User":"bob"`)
	})
}

func TestGate_SubscriptionEndsUnlessItIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules()})
		const long, short = 40, 3 // seconds: after the next turn of a session, and before it
		for _, seconds := range []int{long, short} {
			p := n.connect(behindGate)
			p.send("sub plain")
			p.send("subtoken room open %d", seconds)
			p.expect("subscribed room")
			time.Sleep(time.Duration(seconds) * time.Second / 2)
			for command, want := range map[string]string{
				"renew room wrong":      "error unauthenticated",
				"renew room open alice": "error forbidden", // it was anonymous
				"renew plain":           "error bad_request",
				"renew shut open":       "error not_found",
			} {
				p.send("%s", command)
				p.expect(want)
			}
			p.send("renew room open %d", seconds)
			p.expect("renewed room")
			time.Sleep(time.Duration(seconds)*time.Second - time.Millisecond)
			n.publish("room", "in time")
			p.expect("message room in")
			time.Sleep(1100 * time.Millisecond)
			p.expect("unsubscribed room unauthenticated")
			n.publish("room", "late")
			n.publish("plain", "end")
			p.expect("message plain end")
			if got := p.heardOf("room"); len(got) != 1 {
				t.Errorf("after its end, of %d s, it heard %q", seconds, got)
			}
			p.send("subtoken room open 0")
			p.expect("subscribed room")
			p.send("subtoken room open")
			p.until("to be on it without an end", func() bool { return count(p.lines(), "subscribed room") == 3 })
			time.Sleep(2 * time.Second)
			if got := count(p.lines(), "unsubscribed room unauthenticated"); got != 1 {
				t.Errorf("it was unsubscribed %d times", got)
			}
		}
	})
}

// tickets is an Authenticator for channel tokens such as alice/room/3, valid for 3 seconds.
type tickets struct{}

func (tickets) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	parts := strings.Split(token, "/")
	p := gateway.Principal{User: parts[0], Token: gateway.TokenInfo{Shown: true}}
	if len(parts) > 1 {
		p.Token.Channel = parts[1]
	}
	if len(parts) > 2 {
		seconds, _ := strconv.Atoi(parts[2])
		p.Expires, p.Info = time.Now().Add(time.Duration(seconds)*time.Second), json.RawMessage(`{"ticket":`+parts[2]+`}`)
	}
	return p, nil
}

func TestTicket_AdmitsItsUserToItsChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules(), Auth: tickets{}})
		for _, command := range []string{
			"subtoken room alice/hall", "subtoken room bob/room", "subtoken room alice", "subtoken shut alice/shut", "sub room",
		} {
			p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
			p.send("%s", command)
			p.expect("error forbidden")
		}
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		p.send("subtoken room alice/room/3")
		p.expect("subscribed room")
		p.send("presence room")
		p.expect(`gateway.Members {"ID":{"Value":1,"Given":true},"Channel":"room","Members":[{"user":"alice","info":{"ticket":3}`)
		time.Sleep(2 * time.Second)
		p.send("renew room bob/room/5")
		p.expect("error forbidden")
		p.send("renew room alice/room/5")
		p.expect("renewed room")
		p.send("presence room") // the newer ticket is shown
		p.expect(`gateway.Members {"ID":{"Value":1,"Given":true},"Channel":"room","Members":[{"user":"alice","info":{"ticket":5}`)
		time.Sleep(3 * time.Second)
		n.publish("room", "still")
		p.expect("message room still")
		time.Sleep(3500 * time.Millisecond)
		p.expect("unsubscribed room unauthenticated")
	})
}

func TestTicket_MayLastForAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: gateRules(), Auth: ages{}})
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		p.send("subtoken room alice/room")
		p.expect("subscribed room")
		time.Sleep(time.Minute)
		p.send("pub room still")
		p.expect("message room still")
	})
}

// ages is like tickets, but its tokens are valid for all the years that a token can tell.
type ages struct{ tickets }

func (a ages) Authenticate(ctx context.Context, token string) (gateway.Principal, error) {
	p, err := a.tickets.Authenticate(ctx, token)
	p.Expires = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return p, err
}

func TestTicket_LetsNobodyIn(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: tickets{}})
	_, err := n.Authenticate(t.Context(), "alice/room")
	wantCode(t, err, gateway.Unauthenticated)
}
